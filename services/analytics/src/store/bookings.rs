//! Books the counts of a response once, though several calls may show them: a
//! background response is created by one call and polled by others, through any proxy.
//! The first event that is committed with its counts keeps them; all others lose
//! theirs, and say that no usage is due.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use modash_proto::v1::{CostSource, RequestCost, UsageEvent, UsageSource};
use sha2::{Digest as _, Sha256};
use sqlx::types::Uuid;

use super::{Error, Row, pool::Transaction, traced::Traced as _};

/// The rows, without the counts that other events have booked.
pub(super) async fn book<'a>(
    connection: &mut Transaction,
    rows: &'a [Row],
) -> Result<Cow<'a, [Row]>, Error> {
    // Of two in one batch the first books.
    let mut first: BTreeMap<Uuid, Uuid> = BTreeMap::new();
    for row in rows {
        if let Some(key) = response_key(&row.event) {
            first.entry(key).or_insert(row.id);
        }
    }
    if first.is_empty() {
        return Ok(Cow::Borrowed(rows));
    }
    let (keys, events): (Vec<Uuid>, Vec<Uuid>) = first.into_iter().unzip();
    let booked: Vec<(Uuid, Uuid)> = sqlx::query_as(include_str!("queries/book_responses.sql"))
        .bind(keys)
        .bind(events)
        .fetch_all(connection)
        .traced("book_responses")
        .await?;
    let booked: HashMap<Uuid, Uuid> = booked.into_iter().collect();
    let mut rows = rows.to_vec();
    for row in &mut rows {
        if let Some(key) = response_key(&row.event)
            && booked.get(&key) != Some(&row.id)
        {
            clear(&mut row.event);
        }
    }
    Ok(Cow::Owned(rows))
}

/// Names the response whose counts this event has, if other events may have them too.
fn response_key(event: &UsageEvent) -> Option<Uuid> {
    let response_id = event.response_id.as_deref().filter(|_| event.book_once)?;
    let mut hash = Sha256::new();
    hash.update(event.upstream.as_bytes());
    hash.update([0]);
    hash.update(response_id.as_bytes());
    Uuid::from_slice(&hash.finalize()[..16]).ok()
}

/// Everything that is summed up of a response's consumption.
fn clear(event: &mut UsageEvent) {
    event.usage_source = UsageSource::NotDue.into();
    event.prompt_tokens = None;
    event.cached_prompt_tokens = None;
    event.cache_write_tokens = None;
    event.cache_write_1h_tokens = None;
    event.completion_tokens = None;
    event.reasoning_tokens = None;
    event.audio_prompt_tokens = None;
    event.audio_completion_tokens = None;
    event.cached_audio_prompt_tokens = None;
    event.image_prompt_tokens = None;
    event.cached_image_prompt_tokens = None;
    event.image_completion_tokens = None;
    event.images = None;
    event.characters = None;
    event.total_tokens = None;
    event.billed_prompt_tokens = None;
    event.billed_completion_tokens = None;
    event.search_units = None;
    event.billed_audio = None;
    event.upstream_cost_usd = None;
    if let Some(cost) = &mut event.cost {
        let provider = cost.provider.take();
        *cost = RequestCost { source: CostSource::NotDue.into(), provider, ..Default::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_tells_responses_and_upstreams_apart() {
        let event = |upstream: &str, id: &str, book_once| UsageEvent {
            upstream: upstream.to_owned(),
            response_id: Some(id.to_owned()),
            book_once,
            ..UsageEvent::default()
        };
        let key = response_key(&event("a", "r1", true));
        assert!(key.is_some());
        assert_eq!(key, response_key(&event("a", "r1", true)));
        assert_ne!(key, response_key(&event("a", "r2", true)));
        assert_ne!(key, response_key(&event("b", "r1", true)));
        assert_eq!(response_key(&event("a", "r1", false)), None);
        let without_id = UsageEvent { response_id: None, ..event("a", "", true) };
        assert_eq!(response_key(&without_id), None);
    }
}
