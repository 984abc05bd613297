//! Why a command about the data failed, in words for who typed it.

use std::io;

use crate::{Error, store};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The database is not there, or its schema cannot be brought up to date.
    #[error(transparent)]
    Database(#[from] Error),
    /// The database failed while the command ran.
    #[error("{}", .0.detail())]
    Store(#[from] store::Error),
    /// The schema cannot be brought up to date.
    #[error("the schema of the database cannot be brought up to date: {0}")]
    Schema(String),
    /// Nothing was ever stored in this database.
    #[error(
        "the database has no tables of modash yet; start modash once, or `modash-analytics migrate`"
    )]
    Empty,
    /// The days already have requests.
    #[error(
        "there are requests from {first} to {last} already; made-up ones would mix with them. \
         Use another database or other days (--until), or add to them with --add"
    )]
    Occupied {
        /// The first day with requests.
        first: chrono::NaiveDate,
        /// The last one.
        last: chrono::NaiveDate,
    },
    /// The same rows again.
    #[error("the same requests are there already: give another --seed, or another --until")]
    Repeated,
    /// No model of that name has a price.
    #[error("no price names {0}; docs/prices.md says how to write your own")]
    NoPrice(String),
    /// A name is refused.
    #[error("{0}")]
    Name(String),
    /// A budget is refused.
    #[error("{0}")]
    Refused(String),
    /// A file could not be read.
    #[error("cannot read {file}: {problem}")]
    Read {
        /// Its name.
        file: String,
        /// Why.
        problem: String,
    },
    /// A file could not be written.
    #[error("cannot write {file}")]
    Write {
        /// Its name.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A stop was asked for.
    #[error("stopped before the end")]
    Stopped,
}
