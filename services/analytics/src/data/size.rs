//! How much is stored: tables, bytes for each request, growth.

use std::io::Write as _;

use chrono::{NaiveDate, TimeDelta, Utc};
use clap::Args;
use serde::{Serialize, Serializer};

use super::{
    DataError,
    table::{bytes, grouped, table},
};
use crate::store::Store;
use crate::store::from_row;

/// Days over which growth is averaged.
const GROWTH_DAYS: i64 = 7;

/// How to show it.
#[derive(Debug, Clone, Args)]
pub struct SizeOptions {
    /// Count rows instead of trusting PostgreSQL's estimates; reads everything
    #[arg(long)]
    pub exact: bool,

    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What is stored. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Size {
    /// All tables, the largest first.
    pub tables: Vec<TableSize>,
    /// Stored requests.
    pub requests: i64,
    /// All tables and indexes.
    pub total_bytes: i64,
    /// All of it for each stored request; absent without requests.
    pub bytes_per_request: Option<f64>,
    /// First day with requests, UTC.
    #[serde(serialize_with = "as_text")]
    pub oldest_day: Option<NaiveDate>,
    /// Last one.
    #[serde(serialize_with = "as_text")]
    pub newest_day: Option<NaiveDate>,
    /// Requests a day, as in the last seven whole days that have some.
    pub requests_per_day: Option<f64>,
    /// What a day adds.
    pub bytes_per_day: Option<f64>,
}

/// A table with its partitions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableSize {
    /// Its name.
    pub name: String,
    /// Number of partitions; 0 if it is not partitioned.
    pub partitions: i64,
    /// Rows, estimated unless counted.
    pub rows: i64,
    /// Rows with what is stored apart from them.
    pub table_bytes: i64,
    /// Indexes.
    pub index_bytes: i64,
}

from_row!(TableSize { name, partitions, rows, table_bytes, index_bytes });

impl TableSize {
    fn total(&self) -> i64 {
        self.table_bytes + self.index_bytes
    }
}

pub(super) async fn run(store: &Store, options: &SizeOptions) -> Result<(), DataError> {
    let size = size(store, options.exact).await?;
    let text = if options.json {
        serde_json::to_string_pretty(&size).unwrap_or_default() + "\n"
    } else {
        size.to_text()
    };
    // Whoever closed standard output has read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Reads what is stored.
pub(crate) async fn size(store: &Store, exact: bool) -> Result<Size, DataError> {
    if !store.has_tables().await? {
        return Err(DataError::Empty);
    }
    let tables = store.table_sizes(exact).await?;
    let days = store.partitions_of("requests", exact).await?;
    let requests = tables.iter().find(|table| table.name == "requests").map_or(0, |t| t.rows);
    let total_bytes = tables.iter().map(TableSize::total).sum::<i64>();
    let with_requests: Vec<_> = days.iter().filter(|day| day.rows > 0).collect();
    let bytes_per_request = (requests > 0).then(|| total_bytes as f64 / requests as f64);
    let today = Utc::now().date_naive();
    let whole: Vec<f64> = with_requests
        .iter()
        .filter(|day| day.day < today && day.day >= today - TimeDelta::days(GROWTH_DAYS))
        .map(|day| day.rows as f64)
        .collect();
    let requests_per_day =
        (!whole.is_empty()).then(|| whole.iter().sum::<f64>() / whole.len() as f64);
    Ok(Size {
        requests,
        total_bytes,
        bytes_per_request,
        oldest_day: with_requests.first().map(|day| day.day),
        newest_day: with_requests.last().map(|day| day.day),
        requests_per_day,
        bytes_per_day: requests_per_day.zip(bytes_per_request).map(|(a, b)| a * b),
        tables,
    })
}

impl Size {
    fn to_text(&self) -> String {
        let per_request = |bytes: i64| match self.requests {
            0 => "–".to_owned(),
            requests => format!("{:.1}", bytes as f64 / requests as f64),
        };
        let mut rows: Vec<[String; 7]> = self
            .tables
            .iter()
            .map(|table| {
                [
                    table.name.clone(),
                    if table.partitions > 0 { count(table.partitions) } else { String::new() },
                    count(table.rows),
                    size_of(table.table_bytes),
                    size_of(table.index_bytes),
                    size_of(table.total()),
                    per_request(table.total()),
                ]
            })
            .collect();
        rows.push([
            "all".to_owned(),
            String::new(),
            String::new(),
            size_of(self.tables.iter().map(|table| table.table_bytes).sum()),
            size_of(self.tables.iter().map(|table| table.index_bytes).sum()),
            size_of(self.total_bytes),
            per_request(self.total_bytes),
        ]);
        let headings =
            ["table", "partitions", "rows", "table size", "indexes", "total", "bytes a request"];
        let mut text = table(headings, &rows);
        text.push('\n');
        text.push_str(&match (self.oldest_day, self.newest_day) {
            (Some(oldest), Some(newest)) => {
                format!("{} requests from {oldest} to {newest}\n", count(self.requests))
            }
            _ => "no requests are stored\n".to_owned(),
        });
        if let (Some(requests), Some(bytes)) = (self.requests_per_day, self.bytes_per_day) {
            text.push_str(&format!(
                "{} requests a day lately, which is {} a day\n",
                count(requests as i64),
                size_of(bytes as i64)
            ));
        }
        text
    }
}

fn as_text<S: Serializer>(day: &Option<NaiveDate>, serializer: S) -> Result<S::Ok, S::Error> {
    day.map(|day| day.to_string()).serialize(serializer)
}

fn count(number: i64) -> String {
    grouped(number.max(0).cast_unsigned())
}

fn size_of(number: i64) -> String {
    bytes(number.max(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_all_and_says_how_it_grows() {
        let requests = TableSize {
            name: "requests".to_owned(),
            partitions: 3,
            rows: 1_000,
            table_bytes: 250_000,
            index_bytes: 50_000,
        };
        let size = Size {
            tables: vec![requests],
            requests: 1_000,
            total_bytes: 300_000,
            bytes_per_request: Some(300.0),
            oldest_day: "2026-11-01".parse().ok(),
            newest_day: "2026-11-03".parse().ok(),
            requests_per_day: Some(500.0),
            bytes_per_day: Some(150_000.0),
        };
        let text = size.to_text();
        assert!(
            text.contains("requests           3  1,000    250.0 kB  50.0 kB  300.0 kB"),
            "{text}"
        );
        assert!(text.contains("1,000 requests from 2026-11-01 to 2026-11-03\n"), "{text}");
        assert!(text.contains("500 requests a day lately, which is 150.0 kB a day\n"), "{text}");
    }
}
