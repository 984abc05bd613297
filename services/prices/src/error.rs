//! What is wrong with a price list.

/// The first thing that is wrong with a price list: where it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {}{problem}", entry.as_ref().map(|name| format!("price of {name:?}: ")).unwrap_or_default())]
pub struct Error {
    /// Name of the file.
    pub file: String,
    /// Line in it, from 1.
    pub line: usize,
    /// Model of the price.
    pub entry: Option<String>,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: std::sync::Arc<str>,
    pub(crate) line: usize,
}

impl Place {
    /// An error here.
    pub(crate) fn error(&self, entry: Option<&str>, problem: impl Into<String>) -> Error {
        Error {
            file: self.file.to_string(),
            line: self.line,
            entry: entry.map(str::to_owned),
            problem: problem.into(),
        }
    }
}
