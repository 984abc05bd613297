//! Names of service tiers.

/// Longest name of a tier that is read.
const MAX: usize = 64;

/// A buffer for the name of a tier.
pub(crate) type Buffer = [u8; MAX];

/// The name of a service tier as price lists have it; none for the standard one.
///
/// In lower case with `_`, and without what Gemini puts before it: `ON_DEMAND_FLEX` is
/// `flex`.
pub(crate) fn tier_name<'a>(wire: &'a str, buffer: &'a mut Buffer) -> Option<&'a str> {
    if matches!(wire, "" | "default" | "standard" | "auto") {
        return None;
    }
    let Some(room) = buffer.get_mut(..wire.len()) else { return Some(wire) };
    for (to, from) in room.iter_mut().zip(wire.bytes()) {
        *to = if from == b'-' { b'_' } else { from.to_ascii_lowercase() };
    }
    let name = std::str::from_utf8(room).unwrap_or(wire);
    let name = name.strip_prefix("on_demand_").unwrap_or(name);
    match name {
        "default" | "standard" | "auto" | "on_demand" => None,
        "batches" => Some("batch"),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_have_one_name_whatever_the_provider_writes() {
        for (wire, name) in [
            ("default", None),
            ("Standard", None),
            ("ON_DEMAND", None),
            ("ON_DEMAND_FLEX", Some("flex")),
            ("on-demand-priority", Some("priority")),
            ("batch", Some("batch")),
            ("PROVISIONED_THROUGHPUT", Some("provisioned_throughput")),
        ] {
            assert_eq!(tier_name(wire, &mut [0; MAX]), name, "{wire}");
        }
        let long = "x".repeat(MAX + 1);
        assert_eq!(tier_name(&long, &mut [0; MAX]), Some(long.as_str()));
    }
}
