//! Rows in PostgreSQL's binary COPY format, the fastest way to hand over many.
//! <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.55.9.4>

use chrono::{DateTime, Utc};
use sqlx::types::Uuid;

use super::{Error, pool::Transaction};

/// 2000-01-01, from where PostgreSQL counts, in microseconds since 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Rows, encoded as they are added.
#[derive(Debug)]
pub(super) struct CopyRows {
    bytes: Vec<u8>,
    columns: i16,
}

impl CopyRows {
    /// No rows yet, each to have so many columns.
    pub(super) fn new(columns: i16, rows: usize) -> Self {
        let mut bytes = Vec::with_capacity(64 + rows * 256);
        bytes.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
        // No flags, no extension.
        bytes.extend_from_slice(&[0; 8]);
        Self { bytes, columns }
    }

    /// Begins a row; all of its columns must follow in their order.
    pub(super) fn row(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
        self
    }

    fn field(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => {
                let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
                self.bytes.extend_from_slice(&length.to_be_bytes());
                self.bytes.extend_from_slice(value);
            }
            None => self.bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
        self
    }

    pub(super) fn uuid(&mut self, value: Option<Uuid>) -> &mut Self {
        self.field(value.as_ref().map(|value| value.as_bytes().as_slice()))
    }

    pub(super) fn moment(&mut self, value: Option<DateTime<Utc>>) -> &mut Self {
        self.bigint(value.map(|value| value.timestamp_micros() - EPOCH_MICROS))
    }

    pub(super) fn bigint(&mut self, value: Option<i64>) -> &mut Self {
        self.field(value.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice))
    }

    pub(super) fn integer(&mut self, value: i32) -> &mut Self {
        self.field(Some(&value.to_be_bytes()))
    }

    pub(super) fn optional_integer(&mut self, value: Option<i32>) -> &mut Self {
        self.field(value.map(i32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice))
    }

    pub(super) fn smallint(&mut self, value: Option<i16>) -> &mut Self {
        self.field(value.map(i16::to_be_bytes).as_ref().map(<[u8; 2]>::as_slice))
    }

    pub(super) fn double(&mut self, value: Option<f64>) -> &mut Self {
        self.field(value.map(f64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice))
    }

    pub(super) fn text(&mut self, value: Option<&str>) -> &mut Self {
        self.field(value.map(str::as_bytes))
    }

    pub(super) fn bytea(&mut self, value: Option<&[u8]>) -> &mut Self {
        self.field(value)
    }

    /// The bytes so far; more rows may follow.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The bytes that are left.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        self.bytes
    }

    /// Hands the rows over by a `COPY ... FROM STDIN (FORMAT binary)`.
    pub(super) async fn send(
        self,
        connection: &mut Transaction,
        statement: &str,
    ) -> Result<(), Error> {
        let mut copy = connection.copy_in(statement).await?;
        copy.send(self.finish()).await?;
        copy.finish().await?;
        Ok(())
    }
}
