//! What to measure, from the environment.

use std::{
    env,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::Result;

/// What to measure.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) rows: Vec<u64>,
    pub(crate) days: u32,
    pub(crate) data: Option<PathBuf>,
    pub(crate) rounds: usize,
    pub(crate) only: String,
    pub(crate) events: usize,
    pub(crate) generate: bool,
    pub(crate) ingest: bool,
    pub(crate) queries: bool,
    pub(crate) out: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Self> {
        let parts = text("PARTS", "generate,ingest,queries");
        let part = |name: &str| parts.split(',').any(|part| part.trim() == name);
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let out = match text("OUT", "").as_str() {
            "" => Some(docs),
            "-" => None,
            directory => Some(directory.into()),
        };
        let rows = text("ROWS", "1000000,10000000,50000000");
        let rows: Vec<u64> =
            rows.split(',').map(|rows| parsed("ROWS", rows)).collect::<Result<_>>()?;
        Ok(Self {
            rows,
            days: parsed("DAYS", &text("DAYS", "90"))?,
            data: Some(text("DATA", "")).filter(|data| !data.is_empty()).map(PathBuf::from),
            only: text("ONLY", ""),
            rounds: parsed("ROUNDS", &text("ROUNDS", "40"))?,
            events: parsed("EVENTS", &text("EVENTS", "400000"))?,
            generate: part("generate"),
            ingest: part("ingest"),
            queries: part("queries"),
            out,
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "a benchmark is no service")]
fn text(name: &str, default: &str) -> String {
    env::var(name).ok().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
}

fn parsed<T: FromStr>(name: &str, text: &str) -> Result<T> {
    text.trim().replace('_', "").parse().map_err(|_| format!("{name} is no number: {text}").into())
}
