//! Ids of usage events: UUIDv7 that name the microsecond in which a request began
//! (RFC 9562, 5.7, with the fraction of 6.2, method 3). The key of a stored request is
//! its start and its id; since the id names the start, one id has one key.

/// Microseconds of a millisecond, and steps of the fraction in an id.
const MICROS: u64 = 1_000;
const STEPS: u64 = 1 << 12;

/// The id, as the bits of a UUID, of a request that began at `micros` since 1970: 48
/// bits of milliseconds, 12 of the fraction, 62 random ones.
#[must_use]
pub fn event_id(micros: u64, random: u64) -> u128 {
    let (millis, fraction) = (micros / MICROS, micros % MICROS * STEPS / MICROS);
    let first = (millis << 16) | (7 << 12) | fraction;
    let last = (0b10 << 62) | (random >> 2);
    (u128::from(first) << 64) | u128::from(last)
}

/// The microseconds since 1970 that an id names; `None`: it is no UUIDv7.
#[must_use]
pub fn micros_of_event_id(id: u128) -> Option<u64> {
    let first = (id >> 64) as u64;
    let is_v7 = (first >> 12) & 0xF == 7 && (id >> 62) & 0b11 == 0b10;
    let fraction = (first & (STEPS - 1)) * MICROS;
    is_v7.then(|| (first >> 16) * MICROS + fraction.div_ceil(STEPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_microsecond_is_named_by_its_ids() {
        for micros in (1_764_000_000_000_000..1_764_000_000_002_000).chain([0, 1, 999]) {
            for random in [0, u64::MAX] {
                let id = event_id(micros, random);
                assert_eq!(micros_of_event_id(id), Some(micros));
                assert_eq!(uuid::Uuid::from_u128(id).get_version_num(), 7);
            }
        }
        assert_ne!(event_id(5, 4), event_id(5, 8));
        for other in [0, u128::MAX, uuid::Uuid::max().as_u128()] {
            assert_eq!(micros_of_event_id(other), None);
        }
    }
}
