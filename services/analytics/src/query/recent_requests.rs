//! Single requests, newest first: by page number, or after the last one seen.

use chrono::{DateTime, Utc};
use modash_access::Scope;
use modash_proto::{
    micros_from_timestamp,
    v1::{RecentRequestsRequest, RecentRequestsResponse, UsageEvent},
};
use uuid::Uuid;

use super::{Queries, arguments::Arguments};
use crate::{
    error::Failure,
    rollup::{LEVELS, Level},
    store::{Depth, Grouping, Members, Page, Position, Selection, Snapshot},
};

/// So many requests are left out one by one.
const FEW: i64 = 1_000;

/// Most bounds of a range.
const MOST_BOUNDS: usize = 4_000;

impl Queries {
    pub(super) async fn answer_recent_requests(
        &self,
        request: RecentRequestsRequest,
        scope: Scope,
    ) -> Result<RecentRequestsResponse, Failure> {
        let mut arguments = Arguments::new(request.range.as_ref(), request.filter, "", &scope);
        if request.page == 0 {
            arguments.violations.add("page", "must be at least 1");
        }
        if !(1..=100).contains(&request.page_size) {
            arguments.violations.add("page_size", "must be from 1 to 100");
        }
        let after = match request.page_token.as_str() {
            "" => None,
            token => arguments
                .violations
                .check("page_token", position(token).ok_or("must be the token of an answer")),
        };
        let (range, filter, ()) = arguments.finish(Some(()))?;
        let mut snapshot = self.store.snapshot().await?;
        let selection = snapshot.select(range, &filter).await?;
        let mut members = snapshot.members(&filter, &Grouping::None).await?;
        let size = i64::from(request.page_size);
        let skipped = if after.is_some() { 0 } else { (i64::from(request.page) - 1) * size };
        // One more than asked for tells whether there is another page.
        let wanted = size + 1;
        let (total, place) =
            find_page(&mut snapshot, &selection, &mut members, skipped, wanted).await?;
        let page = Page { limit: wanted, offset: place.offset, after };
        // Where a page after a token ends is not known.
        let from = if after.is_some() { selection.start } else { place.from };
        let page_of = selection.between(from, place.before);
        let mut rows = snapshot.recent_requests(&page_of, page).await?;
        let is_last = rows.len() <= request.page_size as usize;
        rows.truncate(request.page_size as usize);
        let next_page_token =
            if is_last { None } else { rows.last().and_then(token) }.unwrap_or_default();
        Ok(RecentRequestsResponse {
            rows,
            total: total.cast_unsigned(),
            page: request.page,
            page_size: request.page_size,
            next_page_token,
        })
    }
}

/// Where a page is: after leaving out so many of the requests that began before a
/// moment, and not before another one.
struct Place {
    from: DateTime<Utc>,
    before: DateTime<Utc>,
    offset: i64,
}

/// How many requests there are, and where those begin that follow so many of the
/// newest ones: the rollups tell in which day, in which hour of it and in which
/// minute of that, so that a deep page costs no more than the first one.
async fn find_page(
    snapshot: &mut Snapshot,
    selection: &Selection,
    members: &mut Members,
    skipped: i64,
    wanted: i64,
) -> Result<(i64, Place), Failure> {
    let mut start = selection.start;
    let mut place = Place { from: start, before: selection.end, offset: skipped };
    let mut total = None;
    for width in [86_400, 3_600, 60] {
        let Some(level) = LEVELS.into_iter().find(|level| level.width == width) else { continue };
        let bounds = bounds(start, place.before, level);
        let cells = snapshot.cells(selection, members, &bounds, Depth::Sums).await?;
        let mut counts = vec![0; bounds.len() - 1];
        for ((bucket, _), measures) in cells {
            if let Some(slot) = usize::try_from(bucket).ok().and_then(|at| counts.get_mut(at)) {
                *slot += measures.sums.requests;
            }
        }
        let total_is_new = total.is_none();
        let all = *total.get_or_insert_with(|| counts.iter().sum::<i64>());
        if skipped >= all {
            return Ok((all, Place { before: selection.start, offset: 0, ..place }));
        }
        if total_is_new {
            // All of the page is in these days.
            let mut left = skipped + wanted;
            let ends = counts.iter().rposition(|count| {
                left -= count;
                left <= 0
            });
            place.from = bounds[ends.unwrap_or(0)];
        }
        if skipped < FEW || selection.reads_requests() {
            break;
        }
        for (bucket, count) in counts.iter().enumerate().rev() {
            (start, place.before) = (bounds[bucket], bounds[bucket + 1]);
            if place.offset < *count {
                break;
            }
            place.offset -= count;
        }
    }
    Ok((total.unwrap_or_default(), place))
}

/// The bounds of a level within a range, and its ends; of a range of ages only the
/// newest.
fn bounds(start: DateTime<Utc>, end: DateTime<Utc>, level: Level) -> Vec<DateTime<Utc>> {
    let mut bounds = vec![end];
    let mut bound = level.floor(end);
    while bound > start && bounds.len() < MOST_BOUNDS {
        if bound < end {
            bounds.push(bound);
        }
        bound -= level.length();
    }
    bounds.push(start);
    bounds.reverse();
    bounds
}

/// The token for the page after this request: its start in microseconds and its
/// id, hexadecimal.
fn token(last: &UsageEvent) -> Option<String> {
    let micros = micros_from_timestamp(last.started_at.as_ref()?)?;
    let id = Uuid::try_parse(&last.event_id).ok()?;
    Some(format!("{:016x}{}", micros.cast_unsigned(), id.simple()))
}

fn position(token: &str) -> Option<Position> {
    let (micros, id) = token.split_at_checked(16).filter(|(_, id)| id.len() == 32)?;
    let micros = u64::from_str_radix(micros, 16).ok()?.cast_signed();
    let in_contract = micros_from_timestamp(&modash_proto::timestamp_from_micros(micros))?;
    Some(Position {
        started_at: DateTime::from_timestamp_micros(in_contract)?,
        id: Uuid::try_parse(id).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use modash_proto::timestamp_from_micros;

    #[test]
    fn a_token_leads_back_to_its_request() {
        let id = Uuid::now_v7();
        for micros in [1_764_000_000_123_456, 0, -1] {
            let event = UsageEvent {
                event_id: id.to_string(),
                started_at: Some(timestamp_from_micros(micros)),
                ..UsageEvent::default()
            };
            let found = position(&token(&event).unwrap()).unwrap();
            assert_eq!((found.started_at.timestamp_micros(), found.id), (micros, id));
        }
    }

    #[test]
    fn a_token_that_was_not_given_out_is_refused() {
        let long = "f".repeat(48);
        for token in ["x", "ü", "0123456789abcdef", &long[..47], "7fffffffffffffff"] {
            assert_eq!(position(token), None, "{token}");
        }
        assert_eq!(position(&format!("7{}", "f".repeat(47))), None);
    }
}
