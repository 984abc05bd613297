//! Writes finished requests, many at a time; a request that is there already is
//! left as it is.

use chrono::{DateTime, Utc};
use modash_histogram::BUCKETS;
use modash_proto::{micros_from_duration, micros_from_timestamp, v1::LogHistogram, v1::UsageEvent};
use sqlx::{PgConnection, types::Uuid};

use super::Error;

/// A request that can be stored, as far as its fields tell.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The checked event.
    pub(crate) event: UsageEvent,
    /// Its id.
    pub(crate) id: Uuid,
    /// Its start.
    pub(crate) started_at: DateTime<Utc>,
}

impl Row {
    /// Checks an event; the event comes back with what is wrong with it.
    #[allow(clippy::result_large_err, reason = "the event is handed back, not lost")]
    pub(crate) fn new(event: UsageEvent) -> Result<Self, (UsageEvent, String)> {
        if let Err(error) = event.check() {
            return Err((event, error.to_string()));
        }
        let started_at = event
            .started_at
            .as_ref()
            .and_then(micros_from_timestamp)
            .and_then(DateTime::from_timestamp_micros);
        match (Uuid::try_parse(&event.event_id), started_at) {
            (Ok(id), Some(started_at)) => Ok(Self { event, id, started_at }),
            _ => Err((event, "event_id or started_at cannot be read".to_owned())),
        }
    }
}

/// Inserts the rows, each with the id of its series; gives the ids of those that
/// were not there before.
pub(super) async fn insert(
    connection: &mut PgConnection,
    rows: &[Row],
    series: &[i64],
) -> Result<Vec<Uuid>, Error> {
    let rows = Columns { rows };
    let inserted = sqlx::query_scalar(include_str!("queries/insert_requests.sql"))
        .bind(rows.of(|row| row.id))
        .bind(rows.of(|row| row.started_at))
        .bind(series)
        .bind(rows.count(|event| event.prompt_tokens))
        .bind(rows.count(|event| event.cached_prompt_tokens))
        .bind(rows.count(|event| event.cache_write_tokens))
        .bind(rows.count(|event| event.completion_tokens))
        .bind(rows.count(|event| event.reasoning_tokens))
        .bind(rows.count(|event| event.audio_prompt_tokens))
        .bind(rows.count(|event| event.audio_completion_tokens))
        .bind(rows.count(|event| event.total_tokens))
        .bind(rows.count(|event| event.billed_prompt_tokens))
        .bind(rows.count(|event| event.billed_completion_tokens))
        .bind(rows.micros(|event| event.billed_audio.as_ref()))
        .bind(rows.number(|event| event.search_units))
        .bind(rows.number(|event| event.upstream_cost_usd))
        .bind(rows.micros(|event| event.connect.as_ref()))
        .bind(rows.micros(|event| event.upstream_head.as_ref()))
        .bind(rows.micros(|event| event.first_token.as_ref()))
        .bind(rows.micros(|event| event.last_token.as_ref()))
        .bind(rows.micros(|event| event.duration.as_ref()))
        .bind(rows.count(|event| Some(event.content_events)))
        .bind(rows.number(|event| event.prefill_tokens_per_second))
        .bind(rows.number(|event| event.decode_tokens_per_second))
        .bind(rows.count(|event| Some(event.request_bytes)))
        .bind(rows.count(|event| Some(event.response_bytes)))
        .bind(rows.code(|event| event.outcome))
        .bind(rows.code(|event| event.usage_source))
        .bind(rows.code(|event| event.speed_source))
        .bind(rows.of(|row| row.event.status.and_then(|status| i16::try_from(status).ok())))
        .bind(rows.text(|event| Some(&event.replica_id)))
        .bind(rows.text(|event| Some(&event.method)))
        .bind(rows.text(|event| Some(&event.path)))
        .bind(rows.text(|event| event.model_requested.as_ref()))
        .bind(rows.text(|event| event.session.as_ref()))
        .bind(rows.text(|event| event.response_id.as_ref()))
        .bind(rows.text(|event| event.finish_reason.as_ref()))
        .bind(rows.text(|event| event.service_tier.as_ref()))
        .bind(rows.text(|event| event.error_type.as_ref()))
        .bind(rows.of(|row| row.event.token_gaps.as_ref().map(pack_histogram)))
        .fetch_all(connection)
        .await?;
    Ok(inserted)
}

/// Rows seen as columns.
struct Columns<'a> {
    rows: &'a [Row],
}

impl<'a> Columns<'a> {
    fn of<T>(&self, get: impl Fn(&'a Row) -> T) -> Vec<T> {
        self.rows.iter().map(get).collect()
    }

    fn text(&self, get: impl Fn(&'a UsageEvent) -> Option<&'a String>) -> Vec<Option<&'a str>> {
        self.of(|row| get(&row.event).map(String::as_str))
    }

    /// The contract's limit for counts is that of `bigint`.
    fn count(&self, get: impl Fn(&UsageEvent) -> Option<u64>) -> Vec<Option<i64>> {
        self.of(|row| get(&row.event).and_then(|count| i64::try_from(count).ok()))
    }

    fn micros(
        &self,
        get: impl Fn(&'a UsageEvent) -> Option<&'a prost_types::Duration>,
    ) -> Vec<Option<i64>> {
        self.of(|row| get(&row.event).and_then(micros_from_duration))
    }

    /// A number that is none, or no finite one, would spoil every sum it is in.
    fn number(&self, get: impl Fn(&UsageEvent) -> Option<f64>) -> Vec<Option<f64>> {
        self.of(|row| get(&row.event).filter(|number| number.is_finite()))
    }

    /// Enum values of a newer peer are kept as they are.
    fn code(&self, get: impl Fn(&UsageEvent) -> i32) -> Vec<i16> {
        self.of(|row| i16::try_from(get(&row.event)).unwrap_or_default())
    }
}

/// A histogram as variable-length integers: the distance of each bucket from the
/// one before, then its count. Part of the storage format.
pub(super) fn pack_histogram(histogram: &LogHistogram) -> Vec<u8> {
    fn push(bytes: &mut Vec<u8>, mut number: u64) {
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
    let mut bytes = Vec::with_capacity(2 * histogram.indexes.len());
    let mut before = 0;
    for (index, count) in histogram.indexes.iter().zip(&histogram.counts) {
        push(&mut bytes, u64::from(index.saturating_sub(before)));
        push(&mut bytes, *count);
        before = *index;
    }
    bytes
}

/// The buckets of a packed histogram; what cannot be read ends it.
pub(super) fn unpack_histogram(mut bytes: &[u8]) -> impl Iterator<Item = (u32, u64)> {
    fn pull(bytes: &mut &[u8]) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
    let mut index = 0_u32;
    std::iter::from_fn(move || {
        let distance = u32::try_from(pull(&mut bytes)?).ok()?;
        index = index.checked_add(distance).filter(|index| *index < BUCKETS)?;
        Some((index, pull(&mut bytes)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_survives_packing() {
        let histogram = LogHistogram {
            indexes: vec![0, 3, 200, 1023],
            counts: vec![1, 127, 128, u64::from(u32::MAX)],
        };
        let packed = pack_histogram(&histogram);
        let unpacked: Vec<_> = unpack_histogram(&packed).collect();
        let expected: Vec<_> = histogram.indexes.into_iter().zip(histogram.counts).collect();
        assert_eq!(unpacked, expected);
        assert_eq!(unpack_histogram(&packed[..3]).count(), 1);
    }

    #[test]
    fn an_event_that_cannot_be_stored_comes_back_with_the_reason() {
        let (event, reason) = Row::new(UsageEvent::default()).unwrap_err();
        assert_eq!(event, UsageEvent::default());
        assert!(reason.starts_with("event_id"), "{reason}");
    }
}
