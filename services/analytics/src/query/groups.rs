//! The groups of a selection by size.

use std::collections::HashMap;

use super::group_name;
use crate::{
    error::Failure,
    rollup::Measures,
    store::{Depth, Members, Selection, Snapshot},
};

/// A group and its sums over the whole range.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) number: i32,
    /// Its value as the statements have it.
    pub(super) key: String,
    /// Its value as the contract has it.
    pub(super) name: String,
    pub(super) measures: Measures,
}

/// The groups that have requests, each with its measures over the whole range,
/// those first for which `size` is greatest; of equal ones in the order of their
/// values.
pub(super) async fn by_size<S: Ord>(
    snapshot: &mut Snapshot,
    selection: &Selection,
    members: &mut Members,
    depth: Depth,
    size: impl Fn(&Measures) -> S,
) -> Result<Vec<Group>, Failure> {
    let bounds = [selection.start, selection.end];
    let cells = snapshot.cells(selection, members, &bounds, depth).await?;
    let mut groups: HashMap<i32, Measures> = HashMap::new();
    for ((_, number), measures) in cells {
        groups.entry(number).or_default().merge(&measures);
    }
    let mut groups: Vec<Group> = groups
        .into_iter()
        // A request may be counted as running only.
        .filter(|(_, measures)| measures.sums.requests > 0)
        .map(|(number, measures)| {
            let key = members.key(number);
            let name = group_name(members.grouping(), &key);
            Group { number, key, name, measures }
        })
        .collect();
    groups.sort_by(|a, b| {
        size(&b.measures).cmp(&size(&a.measures)).then_with(|| a.name.cmp(&b.name))
    });
    Ok(groups)
}
