//! The deadline that a caller sent with its call (`grpc-timeout`).

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// How long the caller waits, less a little, so that the answer "too late" still
/// reaches it in time. `None`: it did not say, or not as gRPC does.
pub(crate) fn from_metadata(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Some(timeout.saturating_sub((timeout / 10).min(Duration::from_millis(20))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_nonsense_is_no_deadline() {
        let cases = [
            ("2H", Some(7_199_980)),
            ("1M", Some(59_980)),
            ("5S", Some(4_980)),
            ("100m", Some(90)),
            ("100000u", Some(90)),
            ("100000000n", None),
            ("10000000n", Some(9)),
            ("", None),
            ("S", None),
            ("-1S", None),
            ("1x", None),
        ];
        for (text, milliseconds) in cases {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(from_metadata(&metadata), milliseconds.map(Duration::from_millis), "{text}");
        }
    }
}
