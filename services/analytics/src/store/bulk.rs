//! Many requests at once by binary COPY, without rollups: those are computed
//! afterwards.

use chrono::{DateTime, Utc};
use modash_proto::{micros_from_duration, v1::UsageEvent};
use sqlx::{
    PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgCopyIn, PgPoolCopyExt as _},
};

use super::{Error, Row, Store, insert_requests::pack_histogram};

/// Begin of the format: signature, flags, no header extension (PostgreSQL's
/// documentation of COPY, "Binary Format").
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// End of the format.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

const COLUMNS: i16 = 40;

/// Microseconds from 1970 to 2000, where PostgreSQL's times begin.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// A COPY that runs; all of its rows or none are there after `finish`.
pub(crate) struct Bulk {
    copy: PgCopyIn<PoolConnection<Postgres>>,
    buffer: Vec<u8>,
}

impl Store {
    /// Begins to add requests in bulk.
    pub(crate) async fn begin_bulk(&self) -> Result<Bulk, Error> {
        let copy = begin(&self.write).await?;
        Ok(Bulk { copy, buffer: HEADER.to_vec() })
    }

    /// Makes the partitions of all days of a range.
    pub(crate) async fn ensure_days(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<(), Error> {
        let days = from.date_naive().iter_days().take_while(|day| *day <= until.date_naive());
        self.partitions.ensure(&self.write, days).await
    }

    /// Adds rows of days whose partitions are there. Their series are written
    /// first, in transactions of their own.
    pub(crate) async fn add_bulk(&self, bulk: &mut Bulk, rows: &[Row]) -> Result<(), Error> {
        let series = self.series.resolve(&self.write, rows).await?;
        for (row, series) in rows.iter().zip(series) {
            encode(&mut bulk.buffer, row, series);
        }
        bulk.copy.send(bulk.buffer.as_slice()).await?;
        bulk.buffer.clear();
        Ok(())
    }
}

async fn begin(pool: &PgPool) -> Result<PgCopyIn<PoolConnection<Postgres>>, Error> {
    Ok(pool.copy_in_raw(include_str!("queries/copy_requests.sql")).await?)
}

impl Bulk {
    /// Commits.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        self.buffer.extend_from_slice(&TRAILER);
        self.copy.send(self.buffer.as_slice()).await?;
        self.copy.finish().await?;
        Ok(())
    }
}

/// One row, its columns in the order of `copy_requests.sql`.
fn encode(buffer: &mut Vec<u8>, row: &Row, series: i64) {
    let event = &row.event;
    buffer.extend_from_slice(&COLUMNS.to_be_bytes());
    let mut fields = Fields { buffer };
    fields.bytes(Some(row.id.as_bytes()));
    fields.bytes(Some(&(row.started_at.timestamp_micros() - EPOCH_2000).to_be_bytes()));
    fields.bytes(Some(&series.to_be_bytes()));
    for count in [
        event.prompt_tokens,
        event.cached_prompt_tokens,
        event.cache_write_tokens,
        event.completion_tokens,
        event.reasoning_tokens,
        event.audio_prompt_tokens,
        event.audio_completion_tokens,
        event.total_tokens,
        event.billed_prompt_tokens,
        event.billed_completion_tokens,
    ] {
        fields.count(count);
    }
    fields.micros(event.billed_audio.as_ref());
    fields.number(event.search_units);
    fields.number(event.upstream_cost_usd);
    for duration in [
        &event.connect,
        &event.upstream_head,
        &event.first_token,
        &event.last_token,
        &event.duration,
    ] {
        fields.micros(duration.as_ref());
    }
    fields.count(Some(event.content_events));
    fields.number(event.prefill_tokens_per_second);
    fields.number(event.decode_tokens_per_second);
    fields.count(Some(event.request_bytes));
    fields.count(Some(event.response_bytes));
    fields.code(Some(event.outcome));
    fields.code(Some(event.usage_source));
    fields.code(Some(event.speed_source));
    fields.code(event.status.and_then(|status| i32::try_from(status).ok()));
    texts(&mut fields, event);
    fields.bytes(event.token_gaps.as_ref().map(pack_histogram).as_deref());
}

fn texts(fields: &mut Fields<'_>, event: &UsageEvent) {
    for text in [&event.replica_id, &event.method, &event.path] {
        fields.bytes(Some(text.as_bytes()));
    }
    for text in [
        &event.model_requested,
        &event.session,
        &event.response_id,
        &event.finish_reason,
        &event.service_tier,
        &event.error_type,
    ] {
        fields.bytes(text.as_ref().map(String::as_bytes));
    }
}

/// Writes fields: a length, or -1 for NULL, and the bytes.
struct Fields<'a> {
    buffer: &'a mut Vec<u8>,
}

impl Fields<'_> {
    fn bytes(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            self.buffer.extend_from_slice(&(-1_i32).to_be_bytes());
            return;
        };
        // No field of a checked event comes near the limit.
        let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        self.buffer.extend_from_slice(&length.to_be_bytes());
        self.buffer.extend_from_slice(bytes);
    }

    fn count(&mut self, count: Option<u64>) {
        let count = count.and_then(|count| i64::try_from(count).ok());
        self.bytes(count.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    }

    fn micros(&mut self, duration: Option<&prost_types::Duration>) {
        let micros = duration.and_then(micros_from_duration);
        self.bytes(micros.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    }

    fn number(&mut self, number: Option<f64>) {
        let number = number.filter(|number| number.is_finite());
        self.bytes(number.map(f64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    }

    fn code(&mut self, code: Option<i32>) {
        let code = code.map(|code| i16::try_from(code).unwrap_or_default());
        self.bytes(code.map(i16::to_be_bytes).as_ref().map(<[u8; 2]>::as_slice));
    }
}
