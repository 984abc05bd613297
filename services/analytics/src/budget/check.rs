//! What may be saved as a budget.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono_tz::Tz;
use modash_access::Scope;
use modash_proto::{
    Reason, Violations,
    v1::{
        CalendarPeriod, SaveBudgetRequest,
        save_budget_request::{Amount, Period},
    },
};
use prost::Message as _;
use tonic::Status;
use url::Url;
use uuid::Uuid;

use super::Unit;
use crate::{
    filter::Filter,
    name::check_text,
    store::{BudgetRow, MAX_BUDGETS, NewBudget, Saved, Secret},
};

/// Longest name in bytes.
const MAX_NAME_BYTES: usize = 100;

/// Largest filter in bytes.
const MAX_FILTER_BYTES: usize = 64 << 10;

/// Most shares, and the largest one in percent.
const MAX_SHARES: usize = 10;
const MAX_SHARE: u32 = 1_000;

/// Shares of a budget that names none.
const DEFAULT_SHARES: [u32; 3] = [50, 80, 100];

/// Largest amount: a thousand million dollars.
const MAX_AMOUNT: u64 = 1_000_000_000_000_000_000;

/// Shortest and longest window in seconds.
const WINDOW_SECONDS: std::ops::RangeInclusive<i64> = 3_600..=366 * 86_400;

/// Longest address of a webhook in bytes.
const MAX_URL_BYTES: usize = 2_000;

/// How a secret begins, as the Standard Webhooks specification says, and its bytes.
const SECRET_PREFIX: &str = "whsec_";
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Why an id is refused.
const NO_BUDGET: &str = "must be the id of a budget, or empty";

/// Checks a budget, and notes all that is wrong with it.
pub(crate) fn check(request: SaveBudgetRequest, violations: &mut Violations) -> NewBudget {
    let budget_id = Some(&request.budget_id).filter(|id| !id.is_empty()).map(|id| {
        let id = Uuid::try_parse(id).map_err(|_| NO_BUDGET);
        violations.check("budget_id", id).unwrap_or_default()
    });
    check_text("name", &request.name, MAX_NAME_BYTES, violations);
    let filter = request.filter.unwrap_or_default();
    let bytes = filter.encode_to_vec();
    Filter::from_wire(Some(filter), &Scope::default(), violations);
    if bytes.len() > MAX_FILTER_BYTES {
        violations.add("filter", format!("must have at most {MAX_FILTER_BYTES} bytes"));
    }
    let (calendar, rolling_seconds) = period(request.period, violations);
    let time_zone = match request.time_zone.as_str() {
        "" => Some(Tz::UTC),
        name => {
            let zone = name.parse().map_err(|_| "must be an IANA name such as Europe/Berlin");
            violations.check("time_zone", zone)
        }
    };
    let (unit, field, amount) = match request.amount {
        Some(Amount::Tokens(tokens)) => (Unit::Tokens, "tokens", tokens),
        Some(Amount::NanoUsd(nano_usd)) => (Unit::NanoUsd, "nano_usd", nano_usd),
        None => (Unit::Tokens, "tokens", 0),
    };
    if request.amount.is_none() {
        violations.add("tokens", "this or nano_usd must be given");
    } else if !(1..=MAX_AMOUNT).contains(&amount) {
        violations.add(field, format!("must be from 1 to {MAX_AMOUNT}"));
    }
    NewBudget {
        budget_id,
        name: request.name,
        filter: bytes,
        calendar,
        rolling_seconds,
        time_zone: time_zone.unwrap_or(Tz::UTC).name().to_owned(),
        unit: unit as i16,
        amount: amount.min(MAX_AMOUNT).cast_signed(),
        shares: shares(request.shares, violations),
        webhook_url: request.webhook_url.map(|url| webhook(url, violations)),
        webhook_secret: secret(&request.webhook_secret, violations),
    }
}

/// The saved budget, or why it was not saved.
#[allow(clippy::result_large_err, reason = "the status is the answer of the call")]
pub(crate) fn saved(saved: Saved) -> Result<Box<BudgetRow>, Status> {
    let (field, problem) = match saved {
        Saved::Budget(row) => return Ok(row),
        Saved::TooMany => {
            let text = format!("{MAX_BUDGETS} budgets are saved, which is the most: delete one");
            return Err(Reason::TooManyKept.status(text));
        }
        Saved::Unknown => ("budget_id", NO_BUDGET),
        Saved::NameTaken => ("name", "must not be the name of another budget"),
        Saved::NoSecret => ("webhook_secret", "must be given with the first webhook"),
    };
    let mut violations = Violations::default();
    violations.add(field, problem);
    violations.into_result().and(Err(Status::internal("a violation is missing")))
}

fn period(period: Option<Period>, violations: &mut Violations) -> (i16, i64) {
    match period {
        Some(Period::Calendar(number)) => {
            match CalendarPeriod::try_from(number).unwrap_or_default() {
                CalendarPeriod::Unspecified => {
                    violations.add("calendar", "must be a day, a week or a month");
                    (0, 0)
                }
                period => (period as i16, 0),
            }
        }
        Some(Period::Rolling(length)) => {
            let whole = length.nanos == 0 && WINDOW_SECONDS.contains(&length.seconds);
            let whole = whole
                .then_some(length.seconds)
                .ok_or("must be from 1 h to 366 days, in whole seconds");
            (0, violations.check("rolling", whole).unwrap_or_default())
        }
        None => {
            violations.add("calendar", "this or rolling must be given");
            (0, 0)
        }
    }
}

fn shares(mut shares: Vec<u32>, violations: &mut Violations) -> Vec<i32> {
    if shares.is_empty() {
        shares = DEFAULT_SHARES.to_vec();
    }
    if shares.len() > MAX_SHARES || !shares.iter().all(|share| (1..=MAX_SHARE).contains(share)) {
        let text = format!("must be at most {MAX_SHARES} percentages from 1 to {MAX_SHARE}");
        violations.add("shares", text);
    }
    shares.sort_unstable();
    shares.dedup();
    shares.into_iter().map(u32::cast_signed).collect()
}

/// The address as it is sent to; the empty text stays: no webhook.
fn webhook(text: String, violations: &mut Violations) -> String {
    if text.is_empty() {
        return text;
    }
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    });
    match url {
        Some(url) if url.as_str().len() <= MAX_URL_BYTES => url.into(),
        _ => {
            let text = format!(
                "must be an address of http or https of at most {MAX_URL_BYTES} bytes, without \
                 user, password and fragment"
            );
            violations.add("webhook_url", text);
            String::new()
        }
    }
}

fn secret(text: &str, violations: &mut Violations) -> Option<Secret> {
    if text.is_empty() {
        return None;
    }
    let bytes = text.strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
    let bytes = bytes.ok_or("must be \"whsec_\" and 24 to 64 bytes in base64");
    violations.check("webhook_secret", bytes).map(Secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook_of(text: &str) -> Result<String, String> {
        let mut violations = Violations::default();
        let url = webhook(text.to_owned(), &mut violations);
        violations.into_result().map(|()| url).map_err(|status| status.message().to_owned())
    }

    #[test]
    fn a_webhook_is_an_address_of_http_without_credentials() {
        for text in ["https://hooks.example.com/a?b=c", "http://10.0.0.7:8080/", "http://[::1]/x"] {
            assert_eq!(webhook_of(text).as_deref(), Ok(text));
        }
        assert_eq!(webhook_of("https://a.example").as_deref(), Ok("https://a.example/"));
        let long = format!("https://a.example/{}", "x".repeat(MAX_URL_BYTES));
        for text in [
            "ftp://a.example/",
            "file:///etc/passwd",
            "a.example/hook",
            "https://",
            "https://user@a.example/",
            "https://:pw@a.example/",
            "https://a.example/#x",
            &long,
        ] {
            assert!(webhook_of(text).unwrap_err().starts_with("webhook_url: "), "{text}");
        }
    }

    #[test]
    fn a_secret_has_the_form_of_standard_webhooks() {
        let of = |text: &str| {
            let mut violations = Violations::default();
            let secret = secret(text, &mut violations);
            violations.into_result().ok().and(secret).map(|secret| secret.0.len())
        };
        assert_eq!(of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Some(24));
        for text in ["whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!"] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(format!("{:?}", Secret(b"x".to_vec())), "Secret");
    }
}
