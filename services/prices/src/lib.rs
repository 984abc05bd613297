//! What a request to an LLM API cost, in integer nano-dollars, or that it is unknown.
//!
//! [`PriceList::built_in`] has what providers charge, and [`PriceList::parse`] reads a
//! user's own prices, which win. [`PriceList::cost`] looks a model up and multiplies. What
//! is missing or ambiguous is unknown, never 0. No IO, no clock.

mod amount;
mod built_in;
mod check;
mod cost;
mod entry;
mod error;
mod list;
mod litellm;
mod off_peak;
mod parse;
mod pattern;
mod print;
mod provider;
mod rates;
mod review;
mod sum;
mod tier;

pub use cost::{Cost, Counts, Reason, Request, Source, Usage};
pub use entry::{Entry, Scope};
pub use error::Error;
pub use list::{PriceList, Wanted};
pub use litellm::{ImportError, Imported, LeftOut, import};
pub use provider::provider_of;
pub use rates::Dimension;
pub use review::Review;
