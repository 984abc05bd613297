//! What the groups of an answer are.

use modash_proto::v1::Dimension;

/// What a time series is split by: two parameters of its statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// Not at all.
    None,
    /// By a column.
    Dimension(Dimension),
    /// By the value of a tag.
    Tag(String),
}

impl Grouping {
    /// Number of the grouping in the statements.
    pub(super) fn code(&self) -> i16 {
        match self {
            Self::None => 0,
            Self::Dimension(dimension) => *dimension as i16,
            Self::Tag(_) => 100,
        }
    }

    /// Whether only single requests tell the groups: many requests have a value of their
    /// own, so no rollups have it.
    pub(crate) fn reads_requests(&self) -> bool {
        matches!(self, Self::Dimension(Dimension::Session | Dimension::ErrorType))
    }

    /// Name of the tag.
    pub(super) fn tag(&self) -> Option<&str> {
        match self {
            Self::Tag(tag) => Some(tag),
            _ => None,
        }
    }
}
