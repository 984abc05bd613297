//! The currency in which the dashboard shows costs, beside the dollars that they are in.

use std::str::FromStr;

use serde::Serialize;

/// Codes of ISO 4217 for money that people pay with; the dollar needs no rate.
const CODES: &str = "\
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN \
    BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL \
    GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF \
    KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN \
    MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD \
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH \
    UGX UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";
/// Most of a currency that a dollar can be.
const HIGHEST_RATE: f64 = 10_000_000.0;

/// A currency and how much of it one dollar is: `EUR 0.92`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Currency {
    code: &'static str,
    rate: f64,
}

impl FromStr for Currency {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "must be a code of ISO 4217 other than USD and how much of it one \
                                dollar is, above 0 and at most 10,000,000, such as EUR 0.92";
        let (code, rate) = text.trim().split_once(char::is_whitespace).ok_or(EXPECTED)?;
        let code = CODES.split_whitespace().find(|known| *known == code).ok_or(EXPECTED)?;
        let rate = rate.trim();
        // No exponents, signs and names of numbers, which `f64` would take.
        let plain = rate.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let rate: f64 = rate.parse().map_err(|_| EXPECTED)?;
        let fits = plain && rate > 0.0 && rate <= HIGHEST_RATE;
        if fits { Ok(Self { code, rate }) } else { Err(EXPECTED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_has_a_known_code_and_a_rate() {
        for (text, code, rate) in
            [("EUR 0.92", "EUR", 0.92), (" JPY  155 ", "JPY", 155.0), ("KWD .31", "KWD", 0.31)]
        {
            assert_eq!(text.parse(), Ok(Currency { code, rate }), "{text}");
        }
        for wrong in [
            "",
            "EUR",
            "0.92",
            "0.92 EUR",
            "eur 0.92",
            "EUX 0.92",
            "USD 1",
            "EUR 0",
            "EUR -0.92",
            "EUR 0,92",
            "EUR 9e-1",
            "EUR NaN",
            "EUR inf",
            "EUR 1 2",
            "EUR 10000001",
        ] {
            assert!(wrong.parse::<Currency>().is_err(), "{wrong}");
        }
    }
}
