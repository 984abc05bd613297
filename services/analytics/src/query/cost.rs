//! What requests cost together, as the contract has it.

use modash_proto::v1::Cost;

use crate::rollup::CostSums;

/// The sums of costs.
pub(super) fn cost(sums: &CostSums) -> Cost {
    Cost {
        nano_usd: sums.known.sum.cast_unsigned(),
        cache_saving_nano_usd: sums.cache_saving,
        known_requests: sums.known.with.cast_unsigned(),
        unknown_requests: sums.unknown.cast_unsigned(),
        estimated_requests: sums.estimated.cast_unsigned(),
    }
}

/// Leaves what is not in `part`.
pub(super) fn subtract(left: &mut Cost, part: &Cost) {
    left.nano_usd = left.nano_usd.saturating_sub(part.nano_usd);
    left.cache_saving_nano_usd =
        left.cache_saving_nano_usd.saturating_sub(part.cache_saving_nano_usd);
    left.known_requests = left.known_requests.saturating_sub(part.known_requests);
    left.unknown_requests = left.unknown_requests.saturating_sub(part.unknown_requests);
    left.estimated_requests = left.estimated_requests.saturating_sub(part.estimated_requests);
}
