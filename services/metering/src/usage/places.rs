//! The places where objects with counts stand, in every dialect.

use crate::json::{Keep, Row, Slot};
use crate::usage::names::{NAMES, gather};
use crate::wire::{COMMON, value};

/// Slot of the first place.
pub(crate) const FIRST_PLACE: Slot = COMMON.len() + NAMES.len();

// Places in rising rank: of one event, the counts of a later place win.
crate::wire::rows! { PLACES from FIRST_PLACE, {
    CHOICE = place("choices[].usage choices[].delta.usage choices[].message.usage");
    CHOICES = value("choices.~usage");
    GROQ = place("x_groq.usage");
    META = place("meta response.meta");
    MESSAGE = place("message.usage");
    ENVELOPE = place("\
        data.usage result.usage output.usage body.usage data.usageMetadata \
        response.usageMetadata result.usageMetadata orchestration_result.usage \
        final_result.usage Response.Usage");
    RESPONSE = place("response.usage interaction.usage");
    DELTA = place("delta.usage metadata.usage");
    STATS = place("stats result.stats");
    METADATA = place("usageMetadata usage_metadata");
    TOP = place("usage Usage");
    // They count when the places above leave something unknown.
    TIMINGS = place("timings");
    METRICS = place("amazon-bedrock-invocationMetrics");
} }

/// The first place whose counts only fill gaps.
pub(crate) const SPARE: Slot = TIMINGS;

/// A place where an object with counts stands.
const fn place(path: &'static str) -> Row {
    Row { path, keep: Keep::Members, fold: Some(gather) }
}
