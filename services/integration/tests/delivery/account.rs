//! What must be true when everything is well again: each response that the LLM
//! server completed has one row or was counted as dropped, sums are sums of
//! rows, and the system itself says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use modash_integration::rpc_value;
use serde_json::{Value, json};
use sqlx::{PgConnection, Row as _};

use crate::{
    clients::{Asked, Counts},
    system::System,
};

/// `OUTCOME_OK` and `OUTCOME_INTERRUPTED`.
const OK: i16 = 1;
const INTERRUPTED: i16 = 9;

/// Longest time until all is well again.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    /// Requests of clients.
    pub(crate) asked: usize,
    /// Those whose proxy was killed meanwhile.
    pub(crate) killed: usize,
    /// Whole answers of clients, each with its row and the counts that it stated.
    pub(crate) whole: usize,
    /// Responses that the LLM server completed.
    pub(crate) completed: usize,
    /// Rows in the database.
    pub(crate) rows: usize,
    /// Rows of interrupted requests.
    pub(crate) interrupted: usize,
    /// Events that the proxy says it dropped.
    pub(crate) dropped: u64,
    /// Events that analytics knew already.
    pub(crate) duplicate: u64,
    /// The slowest request whose proxy lived.
    pub(crate) slowest: Duration,
    /// How long it took after the last fault.
    pub(crate) settled_after: Duration,
}

/// Waits until all is well, or says what is not.
pub(crate) async fn settle(system: &System, asked: &[Asked]) -> Result<Account, String> {
    let begun = Instant::now();
    loop {
        let last = match tokio::time::timeout(SETTLES_WITHIN, check(system, asked)).await {
            Ok(Ok(account)) => {
                return Ok(Account { settled_after: begun.elapsed(), ..account });
            }
            Ok(Err(reason)) => reason,
            Err(_) => "a check does not end".to_owned(),
        };
        if begun.elapsed() > SETTLES_WITHIN {
            return Err(last);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn check(system: &System, asked: &[Asked]) -> Result<Account, String> {
    if let Some(failed) = asked.iter().find(|asked| asked.failure.is_some() && !asked.killed) {
        return Err(format!("a client saw the fault: {failed:?}"));
    }
    let mut connection = system.database.connect().await?;
    let completeness = rpc_value(&system.gateway_url, "Completeness", &json!({})).await?;
    let dropped = complete(&completeness)?;
    let rows = Rows::read(&mut connection).await.map_err(|error| error.to_string())?;
    let completed: BTreeSet<String> = system.upstream.completed_labels().into_iter().collect();
    rows.hold(&completed, asked, dropped, system.lives.ended())?;
    rows.have_counts_of(asked)?;
    sums_are_of_rows(system, &mut connection).await?;
    Ok(Account {
        asked: asked.len(),
        killed: asked.iter().filter(|asked| asked.killed).count(),
        whole: asked.iter().filter(|asked| asked.counts.is_some()).count(),
        completed: completed.len(),
        rows: rows.named.len(),
        interrupted: rows.named.values().filter(|row| row.outcome == INTERRUPTED).count(),
        dropped,
        duplicate: sum(&completeness, &["duplicate"]),
        slowest: slowest(asked),
        settled_after: Duration::ZERO,
    })
}

/// The slowest answer of a proxy that lived.
pub(crate) fn slowest(asked: &[Asked]) -> Duration {
    let lived = asked.iter().filter(|asked| !asked.killed);
    lived.map(|asked| asked.took).max().unwrap_or_default()
}

/// The system says that the numbers add up and nothing waits; gives what was
/// dropped.
fn complete(completeness: &Value) -> Result<u64, String> {
    let dropped =
        sum(completeness, &["droppedBefore"]) + sum(completeness, &["reported", "dropped"]);
    let replicas = completeness["replicas"].as_array().cloned().unwrap_or_default();
    let well = |replica: &Value| {
        let state = replica["state"].as_str().unwrap_or_default();
        let state = state.trim_start_matches("COMPLETENESS_STATE_");
        let reported = &replica["reported"];
        // A stop leaves nothing, whoever stopped.
        let settled =
            ["COMPLETE", "SILENT", "STOPPED"].contains(&state) || (state == "LOSSY" && dropped > 0);
        settled
            && replica["unaccounted"] == 0
            && replica["missing"] == 0
            && replica["rejected"] == 0
            && reported["queued"] == 0
            && reported["spooled"] == 0
    };
    if !replicas.is_empty() && replicas.iter().all(well) {
        Ok(dropped)
    } else {
        Err(format!("not complete: {completeness}"))
    }
}

fn sum(completeness: &Value, path: &[&str]) -> u64 {
    let replicas = completeness["replicas"].as_array().into_iter().flatten();
    let numbers = replicas.map(|replica| {
        path.iter().fold(replica, |value, name| &value[name]).as_u64().unwrap_or_default()
    });
    numbers.sum()
}

/// What a row says of how its request ended.
#[derive(Debug)]
struct Row {
    outcome: i16,
    counts: Option<Counts>,
}

/// The rows of requests with a name.
struct Rows {
    named: BTreeMap<String, Row>,
    repeated: Vec<String>,
    events: i64,
    distinct_events: i64,
}

impl Rows {
    async fn read(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let counts = "SELECT count(*), count(DISTINCT event_id) FROM requests";
        let (events, distinct_events) = sqlx::query_as(counts).fetch_one(&mut *connection).await?;
        let (mut named, mut repeated) = (BTreeMap::new(), Vec::new());
        let all = "SELECT session, outcome, prompt_tokens::bigint, completion_tokens::bigint
                   FROM requests WHERE session IS NOT NULL";
        for row in sqlx::query(all).fetch_all(&mut *connection).await? {
            let name: String = row.try_get(0)?;
            let prompt: Option<i64> = row.try_get(2)?;
            let row = Row { outcome: row.try_get(1)?, counts: prompt.zip(row.try_get(3)?) };
            if named.insert(name.clone(), row).is_some() {
                repeated.push(name);
            }
        }
        Ok(Self { named, repeated, events, distinct_events })
    }

    fn hold(
        &self,
        completed: &BTreeSet<String>,
        asked: &[Asked],
        dropped: u64,
        kills: u64,
    ) -> Result<(), String> {
        if self.events != self.distinct_events {
            return Err(format!("{} rows of {} events", self.events, self.distinct_events));
        }
        if !self.repeated.is_empty() {
            return Err(format!("more than one row: {:?}", self.repeated));
        }
        let missing: Vec<_> =
            completed.iter().filter(|name| !self.named.contains_key(*name)).collect();
        if missing.len() as u64 != dropped {
            return Err(format!(
                "{} of {} completed responses have no row, and {dropped} were dropped: {:?}",
                missing.len(),
                completed.len(),
                missing.iter().take(10).collect::<Vec<_>>(),
            ));
        }
        // A kill makes interrupted requests of those that had not ended.
        let killed: BTreeSet<&str> =
            asked.iter().filter(|asked| asked.killed).map(|asked| asked.name.as_str()).collect();
        let strange = self.named.iter().find(|(name, row)| {
            let known = completed.contains(*name) || killed.contains(name.as_str());
            !known || (row.outcome == INTERRUPTED && kills == 0)
        });
        strange
            .map_or(Ok(()), |strange| Err(format!("a row of no completed response: {strange:?}")))
    }

    /// A client that has an answer's last byte has its row, with the counts that the
    /// answer states, unless the row was dropped.
    fn have_counts_of(&self, asked: &[Asked]) -> Result<(), String> {
        let whole = asked.iter().filter(|asked| asked.counts.is_some());
        let others = whole.filter_map(|asked| {
            let row = self.named.get(&asked.name)?;
            (row.outcome != OK || row.counts != asked.counts).then_some((asked, row))
        });
        let others: Vec<_> = others.collect();
        if others.is_empty() {
            return Ok(());
        }
        let some = others.iter().take(10).collect::<Vec<_>>();
        Err(format!("{} whole answers have other counts in their rows: {some:?}", others.len()))
    }
}

/// Rollups, by everything and by model, say what the rows say.
async fn sums_are_of_rows(system: &System, connection: &mut PgConnection) -> Result<(), String> {
    let by_model = "
        SELECT CASE WHEN s.model IS NOT NULL OR s.operation NOT IN (11, 12)
               THEN coalesce(s.model, '') END,
               count(*), coalesce(sum(prompt_tokens), 0)::bigint,
               coalesce(sum(completion_tokens), 0)::bigint
        FROM requests r JOIN series s USING (series_id) GROUP BY 1";
    let rows: Vec<(Option<String>, i64, i64, i64)> =
        sqlx::query_as(by_model).fetch_all(&mut *connection).await.map_err(|e| e.to_string())?;
    let bounds = "SELECT to_char(now() AT TIME ZONE 'UTC' - interval '3 days', 'YYYY-MM-DD'),
                         to_char(now() AT TIME ZONE 'UTC' + interval '4 days', 'YYYY-MM-DD')";
    let (start, end): (String, String) =
        sqlx::query_as(bounds).fetch_one(&mut *connection).await.map_err(|e| e.to_string())?;
    // Whole days, so that they are read from rollups.
    let range = json!({ "start": format!("{start}T00:00:00Z"), "end": format!("{end}T00:00:00Z") });
    let ask = async |procedure: &str| {
        rpc_value(&system.gateway_url, procedure, &json!({ "range": range })).await
    };
    let total = rows.iter().fold((0, 0, 0), |sum, (_, requests, prompt, completion)| {
        (sum.0 + requests, sum.1 + prompt, sum.2 + completion)
    });
    let of = |sums: &Value| {
        let number = |name: &str| sums[name].as_i64().unwrap_or_default();
        (number("requests"), number("promptTokens"), number("completionTokens"))
    };
    let summary = ask("UsageSummary").await?;
    if of(&summary) != total {
        let told = of(&summary);
        return Err(format!("the rows sum up to {total:?}, and the rollups say {told:?}"));
    }
    let breakdown = ask("ModelBreakdown").await?;
    let told = breakdown["rows"].as_array().cloned().unwrap_or_default();
    let told: BTreeMap<String, (i64, i64, i64)> = told
        .iter()
        .map(|row| (row["model"].as_str().unwrap_or_default().to_owned(), of(row)))
        .collect();
    let expected: BTreeMap<String, (i64, i64, i64)> =
        rows.into_iter().filter_map(|(model, a, b, c)| Some((model?, (a, b, c)))).collect();
    if told != expected {
        return Err(format!(
            "by model the rows sum up to {expected:?}, and the rollups say {told:?}"
        ));
    }
    Ok(())
}
