//! Prices and factors as exact integers, and their decimal form.

/// Femto-dollars in a dollar.
const FEMTO_PER_DOLLAR: u128 = 1_000_000_000_000_000;

/// Digits behind the point of [`Amount`]: femto-dollars.
const AMOUNT_SCALE: u32 = 15;

/// Digits behind the point of [`Factor`].
const FACTOR_SCALE: u32 = 6;

/// Femto-dollars (10⁻¹⁵ US dollars) per unit: exact for every price that providers
/// publish, and below 18,446 dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Amount(u64);

/// Millionths by which a price is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Factor(u64);

impl Amount {
    /// An explicit price of 0.
    pub(crate) const ZERO: Self = Self(0);

    /// Reads dollars per `units` units.
    pub(crate) fn parse(decimal: &str, units: u64) -> Result<Self, &'static str> {
        let femto = scaled(decimal, AMOUNT_SCALE)?;
        let units = u128::from(units);
        if !femto.is_multiple_of(units) {
            return Err("has more digits than fit; round it");
        }
        let amount = u64::try_from(femto / units);
        amount.map(Self).map_err(|_| "is too high; prices are US dollars")
    }

    /// Dollars per `units` units, in the shortest exact form.
    pub(crate) fn print(self, units: u64) -> String {
        decimal(u128::from(self.0) * u128::from(units), FEMTO_PER_DOLLAR)
    }

    /// Femto-dollars.
    pub(crate) fn femto(self) -> u128 {
        u128::from(self.0)
    }

    /// The price times a factor, if that has an exact form.
    pub(crate) fn times(self, factor: Factor) -> Result<Self, &'static str> {
        let product = u128::from(self.0) * u128::from(factor.0);
        let one = u128::from(Factor::ONE.0);
        if !product.is_multiple_of(one) {
            return Err("times the factor has more digits than fit; write the price itself");
        }
        let amount = u64::try_from(product / one);
        amount.map(Self).map_err(|_| "times the factor is too high")
    }

    /// The price times `to / from`, if that has an exact form.
    pub(crate) fn ratio_of(self, from: Self, to: Self) -> Option<Self> {
        let product = u128::from(self.0) * u128::from(to.0);
        let from = u128::from(from.0);
        let exact = from != 0 && product.is_multiple_of(from);
        exact.then(|| u64::try_from(product / from).ok().map(Self)).flatten()
    }
}

impl Factor {
    /// Changes nothing.
    pub(crate) const ONE: Self = Self(1_000_000);

    /// Reads a decimal.
    pub(crate) fn parse(decimal: &str) -> Result<Self, &'static str> {
        let millionths = u64::try_from(scaled(decimal, FACTOR_SCALE)?);
        match millionths {
            Ok(millionths) if millionths <= 1000 * Self::ONE.0 => Ok(Self(millionths)),
            _ => Err("is too high; a factor is at most 1000"),
        }
    }
}

/// A non-negative decimal (`3`, `0.30`, `1_000`, `2.5e-7`) times 10^scale, exactly.
pub(crate) fn scaled(text: &str, scale: u32) -> Result<u128, &'static str> {
    const NOT_A_NUMBER: &str = "is not a decimal number such as 0.30";
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned.starts_with('-') {
        return Err("is negative; a price is 0 or more");
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) if !exponent.is_empty() => {
            let exponent: i32 = exponent.parse().map_err(|_| NOT_A_NUMBER)?;
            (mantissa, exponent)
        }
        Some(_) => return Err(NOT_A_NUMBER),
        None => (unsigned, 0),
    };
    let (mut value, mut digits, mut behind_point) = (0_u128, 0_u32, None::<i32>);
    for byte in mantissa.bytes() {
        match byte {
            b'0'..=b'9' => {
                let next = value.checked_mul(10).and_then(|v| v.checked_add((byte - b'0').into()));
                value = next.ok_or("has too many digits")?;
                digits += 1;
                behind_point = behind_point.map(|count| count + 1);
            }
            b'.' if behind_point.is_none() && digits > 0 => behind_point = Some(0),
            b'_' if digits > 0 => {}
            _ => return Err(NOT_A_NUMBER),
        }
    }
    if digits == 0 || behind_point == Some(0) {
        return Err(NOT_A_NUMBER);
    }
    if value == 0 {
        return Ok(0);
    }
    let shift = i64::from(exponent) - i64::from(behind_point.unwrap_or(0)) + i64::from(scale);
    let power = u32::try_from(shift.unsigned_abs()).ok().and_then(|by| 10_u128.checked_pow(by));
    match (power, shift >= 0) {
        (Some(power), true) => value.checked_mul(power).ok_or("is too high"),
        (None, true) => Err("is too high"),
        (Some(power), false) if value.is_multiple_of(power) => Ok(value / power),
        (_, false) => Err("has more digits than fit; round it"),
    }
}

/// `value / one` as a decimal; `one` is a power of ten.
fn decimal(value: u128, one: u128) -> String {
    let (whole, fraction) = (value / one, value % one);
    if fraction == 0 {
        return whole.to_string();
    }
    let digits = (one + fraction).to_string();
    format!("{whole}.{}", digits[1..].trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, femto) in [
            ("3", 3_000_000_000),
            ("0.30", 300_000_000),
            ("0.000000001", 1),
            ("2.5e-1", 250_000_000),
            ("1_000.5", 1_000_500_000_000),
            ("+0", 0),
            ("0e99", 0),
        ] {
            assert_eq!(Amount::parse(text, 1_000_000), Ok(Amount(femto)), "{text}");
        }
        assert_eq!(Amount::parse("0.000283333333333", 1), Ok(Amount(283_333_333_333)));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in [
            "-1",
            "-0",
            "",
            ".",
            "1.",
            ".5",
            "1e",
            "1e+",
            "inf",
            "nan",
            "1.2.3",
            "0x10",
            "1 ",
            "_1",
            "0.0000000001",
            "1e99",
            "1e-99",
            "1e999999999999",
            "99999999999999999999999999",
            "340282366920938463463374607431768211456",
        ] {
            assert!(Amount::parse(text, 1_000_000).is_err(), "{text}");
        }
        assert!(Factor::parse("1000.1").is_err());
    }

    #[test]
    fn a_price_is_printed_as_it_is_read() {
        for text in ["0", "3", "0.3", "0.075", "0.000000001", "18446", "1000.000000001"] {
            assert_eq!(Amount::parse(text, 1_000_000).unwrap().print(1_000_000), text);
        }
    }

    #[test]
    fn a_factor_is_exact_or_refused() {
        let amount = |text| Amount::parse(text, 1_000_000).unwrap();
        let half = Factor::parse("0.5").unwrap();
        assert_eq!(amount("0.275").times(half), Ok(amount("0.1375")));
        assert!(amount("0.000000001").times(half).is_err());
    }
}
