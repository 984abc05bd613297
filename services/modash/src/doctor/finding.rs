//! One thing that was looked at, and how it is.

use serde::Serialize;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Works; good to know.
    Note,
    /// To be mended.
    Mend,
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Area {
    Upstream,
    Database,
    Disk,
    Ports,
    Tls,
    System,
}

impl Area {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Upstream => "Upstream",
            Self::Database => "Database",
            Self::Disk => "Disk",
            Self::Ports => "Ports",
            Self::Tls => "TLS",
            Self::System => "System",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Its lasting name, for scripts.
    pub(crate) check: &'static str,
    pub(crate) area: Area,
    pub(crate) level: Level,
    /// What was found.
    pub(crate) what: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// What to do.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
}

impl Finding {
    pub(crate) fn ok(area: Area, check: &'static str, what: impl Into<String>) -> Self {
        Self { check, area, level: Level::Ok, what: what.into(), why: None, action: None }
    }

    pub(crate) fn note(area: Area, check: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::ok(area, check, what) }
    }

    pub(crate) fn mend(area: Area, check: &'static str, what: impl Into<String>) -> Self {
        Self { level: Level::Mend, ..Self::ok(area, check, what) }
    }

    /// Why it matters.
    pub(crate) fn why(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    /// What to do.
    pub(crate) fn action(self, action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..self }
    }
}
