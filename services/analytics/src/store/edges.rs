//! Single requests at the ends of a range. An answer asks for them up to three
//! times, to rank groups, by bucket, and for all groups together; they are read
//! once.

use sqlx::postgres::PgRow;

use super::{Depth, Grouping, Selection};

/// Most rows of one end that are kept: some 5 MB.
const KEPT: usize = 10_000;

/// Ends that were read in a snapshot.
#[derive(Default)]
pub(super) struct Edges(Vec<Edge>);

struct Edge {
    selection: Selection,
    grouping: Grouping,
    depth: Depth,
    rows: Vec<PgRow>,
}

/// Rows on their way to being kept; `None`: they are too many.
pub(super) struct Kept(Option<Vec<PgRow>>);

impl Kept {
    pub(super) fn new() -> Self {
        Self(Some(Vec::new()))
    }

    pub(super) fn push(&mut self, row: PgRow) {
        match &mut self.0 {
            Some(rows) if rows.len() < KEPT => rows.push(row),
            _ => self.0 = None,
        }
    }
}

impl Edges {
    /// Rows with the values of a grouping among which those of a selection are, if they are
    /// kept.
    pub(super) fn find(
        &self,
        selection: &Selection,
        grouping: &Grouping,
        depth: Depth,
    ) -> Option<&[PgRow]> {
        let edge = self.0.iter().find(|edge| {
            edge.selection.covers(selection)
                // without groups the value says nothing
                && (edge.grouping == *grouping || *grouping == Grouping::None)
                && (edge.depth == depth || edge.depth == Depth::Distributions)
        });
        edge.map(|edge| edge.rows.as_slice())
    }

    /// Keeps rows for the next one who asks.
    pub(super) fn keep(
        &mut self,
        selection: Selection,
        grouping: Grouping,
        depth: Depth,
        rows: Kept,
    ) {
        if let Some(rows) = rows.0 {
            self.0.push(Edge { selection, grouping, depth, rows });
        }
    }
}
