//! Finds the audiences that a request may concern without asking each of them:
//! every filter is entered under the values of one dimension that it asks for.

use std::collections::HashMap;

use crate::filter::{Facts, Filter};

/// Audiences by a value that they ask for.
type ByValue = HashMap<String, Vec<u64>>;

/// Number of text dimensions in [`texts`] and [`wanted`].
const DIMENSIONS: usize = 7;

/// The audiences, by what they ask for.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_dimension: [ByValue; DIMENSIONS],
    by_tag: HashMap<String, ByValue>,
    /// Those whose filter names no text.
    others: Vec<u64>,
}

/// The dimensions of a request, those with most values first.
fn texts<'a>(facts: &Facts<'a>) -> [Option<&'a str>; DIMENSIONS] {
    [
        facts.trace_id,
        facts.session,
        facts.user,
        facts.client_key,
        facts.model,
        facts.upstream,
        facts.dialect,
    ]
}

/// What a filter asks for in the same dimensions.
fn wanted(filter: &Filter) -> [Option<&Vec<String>>; DIMENSIONS] {
    [
        filter.traces.as_ref(),
        filter.sessions.as_ref(),
        filter.users.as_ref(),
        filter.client_keys.as_ref(),
        filter.models.as_ref(),
        filter.upstreams.as_ref(),
        filter.dialects.as_ref(),
    ]
}

impl Index {
    /// Enters the filter of an audience.
    pub(super) fn insert(&mut self, filter: &Filter, audience: u64) {
        self.change(filter, |audiences| {
            // A filter may name a value twice.
            if !audiences.contains(&audience) {
                audiences.push(audience);
            }
        });
    }

    /// Removes the filter of an audience.
    pub(super) fn remove(&mut self, filter: &Filter, audience: u64) {
        self.change(filter, |audiences| audiences.retain(|other| *other != audience));
        self.by_dimension.iter_mut().for_each(remove_unused);
        self.by_tag.values_mut().for_each(remove_unused);
        self.by_tag.retain(|_, values| !values.is_empty());
    }

    fn change(&mut self, filter: &Filter, mut change: impl FnMut(&mut Vec<u64>)) {
        let dimension = wanted(filter).into_iter().position(|values| values.is_some());
        let tag = filter.tags.as_ref().and_then(|tags| tags.iter().next());
        match (dimension.and_then(|index| Some((index, wanted(filter)[index]?))), tag) {
            (Some((index, values)), _) => {
                for value in values {
                    change(self.by_dimension[index].entry(value.clone()).or_default());
                }
            }
            (None, Some((name, value))) => {
                let values = self.by_tag.entry(name.clone()).or_default();
                change(values.entry(value.clone()).or_default());
            }
            (None, None) => change(&mut self.others),
        }
    }

    /// Adds the audiences whose filter a request may pass, each once.
    pub(super) fn candidates(&self, facts: &Facts<'_>, found: &mut Vec<u64>) {
        for (values, text) in self.by_dimension.iter().zip(texts(facts)) {
            if !values.is_empty() {
                // A filter names requests without a value by the empty text.
                found.extend(values.get(text.unwrap_or_default()).into_iter().flatten());
            }
        }
        for (name, values) in &self.by_tag {
            found.extend(facts.tag(name).and_then(|value| values.get(value)).into_iter().flatten());
        }
        found.extend(&self.others);
    }
}

fn remove_unused(values: &mut ByValue) {
    values.retain(|_, audiences| !audiences.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use modash_proto::v1::LiveRequest;

    fn models(models: &[&str]) -> Filter {
        let models = models.iter().map(|&model| model.to_owned()).collect();
        Filter { models: Some(models), ..Filter::default() }
    }

    fn candidates(index: &Index, model: Option<&str>) -> Vec<u64> {
        let request = LiveRequest { model: model.map(str::to_owned), ..LiveRequest::default() };
        let mut found = Vec::new();
        index.candidates(&Facts::of_live(&request), &mut found);
        found.sort_unstable();
        found
    }

    #[test]
    fn a_request_concerns_those_who_ask_for_it_and_those_who_ask_for_all() {
        let mut index = Index::default();
        index.insert(&models(&["a", "b", "a"]), 1);
        index.insert(&models(&["b"]), 2);
        index.insert(&models(&[""]), 3);
        index.insert(&Filter::default(), 4);
        assert_eq!(candidates(&index, Some("a")), [1, 4]);
        assert_eq!(candidates(&index, Some("b")), [1, 2, 4]);
        assert_eq!(candidates(&index, None), [3, 4]);
        for (filter, audience) in
            [(models(&["a", "b", "a"]), 1), (models(&["b"]), 2), (models(&[""]), 3)]
        {
            index.remove(&filter, audience);
        }
        index.remove(&Filter::default(), 4);
        assert!(candidates(&index, Some("a")).is_empty());
        assert!(index.by_dimension.iter().all(HashMap::is_empty));
    }
}
