//! Sums over requests: what is summed up (`measures`), over which buckets of
//! time (`level`), and which of them answer a range (`cover`). Knows no database.

mod cover;
mod errors;
mod level;
mod measures;
mod packed;
mod row;

pub(crate) use cover::{Cover, Horizon, Segment, Source};
pub(crate) use errors::{ErrorSums, Errors, Failure, unpack_errors};
pub(crate) use level::{DAY, LEVELS, Level, Sets, WEEK};
pub(crate) use measures::{
    CostSums, Key, Measures, RATE_PARTS, Rollups, Sample, Sums, Token, add_by, add_by_minute,
};
pub(crate) use packed::{pack_buckets, unpack_buckets};
pub(crate) use row::{PackedError, PackedRow, unpack_histograms, unpack_row, unpack_sums};
