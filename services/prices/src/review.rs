//! Which models have no price, and which prices no model.

use std::collections::HashSet;

use crate::entry::Entry;
use crate::list::{PriceList, Wanted};

/// A price list held against the models that were seen.
#[derive(Debug)]
pub struct Review<'a> {
    /// Which of the models have no price: their positions.
    pub without_price: Vec<usize>,
    /// Prices that none of the models has. Of a list with a user's own prices only those.
    pub unmatched: Vec<&'a Entry>,
}

impl PriceList {
    /// Looks up every model that was seen.
    #[must_use]
    pub fn review<'w>(&self, seen: impl IntoIterator<Item = Wanted<'w>>) -> Review<'_> {
        let (mut without_price, mut matched) = (Vec::new(), HashSet::new());
        for (position, wanted) in seen.into_iter().enumerate() {
            match self.find(&wanted) {
                Some(entry) => {
                    matched.insert(std::ptr::from_ref(entry));
                }
                None => without_price.push(position),
            }
        }
        let entries = self.first_layer().iter();
        let unmatched = entries.filter(|entry| !matched.contains(&std::ptr::from_ref(*entry)));
        Review { without_price, unmatched: unmatched.collect() }
    }
}
