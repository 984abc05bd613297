//! The sums of stored requests in SQL, and those that the rollups say, read a
//! second time in the plainest way.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{PgConnection, Row as _};

/// Requests, start of the newest in microseconds, busy time (told by rollups
/// only), six token counts, for each how many had it, requests without usage and
/// with estimates; known costs, how many they are, unknown ones, savings, estimates.
pub(crate) type Line = [i64; 22];

/// Lines by series, bucket in minutes, and outcome.
pub(crate) type Lines = BTreeMap<(i64, i64, i64), Line>;

/// 2020 in microseconds.
const EPOCH: i64 = 1_577_836_800_000_000;

fn number(bytes: &mut &[u8]) -> i64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= i64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// Takes the outcome and its line from the front of packed sums.
fn unpack(bytes: &mut &[u8]) -> (i64, Line) {
    assert_eq!(number(bytes), 1, "version");
    let (outcome, fields, requests) = (number(bytes), number(bytes), number(bytes));
    let has = |bit: usize| fields >> bit & 1 == 1;
    let mut line = Line::default();
    line[0] = requests;
    if has(0) {
        line[1] = EPOCH + number(bytes);
    }
    if has(1) {
        line[2] = number(bytes);
    }
    for token in (0..6).filter(|token| has(2 + token)) {
        line[3 + token] = number(bytes);
        line[9 + token] = if has(11 + token) { number(bytes) } else { requests };
    }
    if has(17) {
        line[17] = number(bytes);
        line[18] = if has(18) { number(bytes) } else { requests };
    }
    for (bit, place) in [(19, 19), (20, 20), (21, 21), (8, 15), (9, 16)] {
        if has(bit) {
            line[place] = number(bytes);
        }
    }
    // Zigzag: the sign is the lowest bit.
    line[20] = (line[20] >> 1) * (1 - 2 * (line[20] & 1)) - (line[20] & 1);
    if has(10) {
        *bytes = &bytes[8..];
    }
    (outcome, line)
}

/// What the rollups of a width say, changes that are not in them included.
pub(crate) async fn of_rollups(connection: &mut PgConnection, width: i64) -> Lines {
    let rows = sqlx::query(
        "SELECT series_id, bucket, sums FROM rollups WHERE abs(level) = $1
         UNION ALL SELECT series_id, bucket, sums FROM rollup_changes",
    )
    .bind(width)
    .fetch_all(connection)
    .await
    .unwrap();
    let mut lines = Lines::new();
    for row in rows {
        let (series, bucket): (i64, i32) = (row.get(0), row.get(1));
        let minutes = width / 60;
        let bucket = i64::from(bucket).div_euclid(minutes) * minutes;
        let mut bytes: &[u8] = row.get(2);
        while !bytes.is_empty() {
            let (outcome, line) = unpack(&mut bytes);
            let sums = lines.entry((series, bucket, outcome)).or_default();
            for (place, (sum, more)) in sums.iter_mut().zip(line).enumerate() {
                *sum = if place == 1 { (*sum).max(more) } else { *sum + more };
            }
        }
    }
    lines
}

/// The same from the rows, in full and narrow series; busy time is left out.
pub(crate) async fn of_requests(connection: &mut PgConnection, width: i64) -> Lines {
    let rows = sqlx::query(
        "SELECT n.series_id,
                (floor(extract(epoch FROM started_at) / $1) * $1 / 60)::bigint,
                outcome::bigint,
                ARRAY[
                    count(*), (extract(epoch FROM max(started_at)) * 1000000)::bigint, 0,
                    coalesce(sum(prompt_tokens), 0)::bigint,
                    coalesce(sum(cached_prompt_tokens), 0)::bigint,
                    coalesce(sum(cache_write_tokens), 0)::bigint,
                    coalesce(sum(completion_tokens), 0)::bigint,
                    coalesce(sum(reasoning_tokens), 0)::bigint,
                    coalesce(sum(total_tokens), 0)::bigint,
                    count(prompt_tokens), count(cached_prompt_tokens), count(cache_write_tokens),
                    count(completion_tokens), count(reasoning_tokens), count(total_tokens),
                    count(*) FILTER (WHERE outcome = 1 AND s.operation IN (1, 2, 3)
                                       AND usage_source IN (4, 5)),
                    count(*) FILTER (WHERE usage_source = 3),
                    coalesce(sum(cost_nano_usd), 0)::bigint, count(cost_nano_usd),
                    count(*) FILTER (WHERE cost_source = 4),
                    coalesce(sum(cache_saving_nano_usd), 0)::bigint,
                    count(*) FILTER (WHERE cost_source = 3)]
         FROM requests r
         JOIN series s USING (series_id)
         JOIN series n ON n.series_id = s.series_id
             OR n.cube = 1
             OR n.cube = 2 AND n.model IS NOT DISTINCT FROM s.model
                AND n.operation = CASE WHEN s.model IS NULL AND s.operation IN (11, 12)
                                  THEN 11 ELSE 0 END
             OR n.cube = 3 AND n.upstream = s.upstream
             OR n.cube = 4 AND n.client_key IS NOT DISTINCT FROM s.client_key
             OR n.cube = 5 AND n.user_name IS NOT DISTINCT FROM s.user_name
             OR n.cube = 6 AND n.tags = s.tags
         GROUP BY 1, 2, 3",
    )
    .bind(width)
    .fetch_all(connection)
    .await
    .unwrap();
    let line = |row: &sqlx::postgres::PgRow| {
        let line: Vec<i64> = row.get(3);
        ((row.get(0), row.get(1), row.get(2)), line.try_into().unwrap())
    };
    rows.iter().map(line).collect()
}

/// Failed requests, start of the first in microseconds, start and id of the newest, and
/// client keys (of series of models and upstreams only).
pub(crate) type ErrorLine = (i64, i64, (i64, u128), BTreeSet<String>);

/// Lines by series, bucket in minutes, outcome, and type of error.
pub(crate) type ErrorLines = BTreeMap<(i64, i64, i64, Option<String>), ErrorLine>;

/// Type of error, sums without client keys, and these.
type Unpacked = (Option<String>, ErrorLine, Vec<i64>);

/// Takes the errors of an outcome from the front of packed errors, with client keys as
/// the numbers that they have there.
fn unpack_errors(bytes: &mut &[u8]) -> (i64, Vec<Unpacked>) {
    assert_eq!(number(bytes), 1, "version");
    let (outcome, types) = (number(bytes), number(bytes));
    let lines = (0..types).map(|_| {
        let error_type = (number(bytes) - 1).try_into().ok().map(|length: usize| {
            let (text, rest) = bytes.split_at(length);
            *bytes = rest;
            String::from_utf8(text.to_vec()).unwrap()
        });
        let (requests, first) = (number(bytes), EPOCH + number(bytes));
        let last = first + number(bytes);
        let (event_id, rest) = bytes.split_first_chunk().unwrap();
        *bytes = rest;
        let newest = (last, u128::from_le_bytes(*event_id));
        let mut key = 0_i64;
        let keys = (0..number(bytes)).map(|_| {
            key = key.wrapping_add(number(bytes));
            key
        });
        let keys = keys.collect();
        (error_type, (requests, first, newest, BTreeSet::new()), keys)
    });
    (outcome, lines.collect())
}

/// What the rollups of a width say of errors, changes that are not in them included.
pub(crate) async fn errors_of_rollups(connection: &mut PgConnection, width: i64) -> ErrorLines {
    let names: Vec<(i64, Option<i64>, String)> = sqlx::query_as(
        "SELECT series_id, number::bigint, client_key
         FROM series LEFT JOIN client_key_numbers USING (series_id)
         WHERE cube = 4 AND client_key IS NOT NULL",
    )
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let rows = sqlx::query(
        "SELECT series_id, bucket, errors, false FROM rollups
         WHERE abs(level) = $1 AND errors IS NOT NULL
         UNION ALL SELECT series_id, bucket, errors, true FROM rollup_changes
         WHERE errors IS NOT NULL",
    )
    .bind(width)
    .fetch_all(connection)
    .await
    .unwrap();
    let mut lines = ErrorLines::new();
    for row in rows {
        let (series, bucket, waits): (i64, i32, bool) = (row.get(0), row.get(1), row.get(3));
        let minutes = width / 60;
        let bucket = i64::from(bucket).div_euclid(minutes) * minutes;
        let mut bytes: &[u8] = row.get(2);
        while !bytes.is_empty() {
            let (outcome, found) = unpack_errors(&mut bytes);
            for (error_type, line, keys) in found {
                let key = (series, bucket, outcome, error_type);
                let sums = lines.entry(key).or_insert_with(|| (0, line.1, line.2, BTreeSet::new()));
                sums.0 += line.0;
                sums.1 = sums.1.min(line.1);
                sums.2 = sums.2.max(line.2);
                // Changes have ids, rollups numbers; requests without a client key an id only.
                sums.3.extend(keys.iter().filter_map(|key| {
                    let is = |(id, number, _): &&(i64, Option<i64>, String)| {
                        if waits { id == key } else { *number == Some(*key) }
                    };
                    names.iter().find(is).map(|(.., name)| name.clone())
                }));
            }
        }
    }
    lines
}

/// The same from the rows.
pub(crate) async fn errors_of_requests(connection: &mut PgConnection, width: i64) -> ErrorLines {
    let rows = sqlx::query(
        "SELECT n.series_id,
                (floor(extract(epoch FROM started_at) / $1) * $1 / 60)::bigint,
                outcome::bigint, error_type, count(*),
                (extract(epoch FROM min(started_at)) * 1000000)::bigint,
                (extract(epoch FROM max(started_at)) * 1000000)::bigint,
                (array_agg(event_id ORDER BY started_at DESC, event_id DESC))[1],
                coalesce(array_agg(DISTINCT s.client_key)
                         FILTER (WHERE n.cube = 7 AND s.client_key IS NOT NULL), '{}')
         FROM requests r
         JOIN series s USING (series_id)
         JOIN series n ON n.series_id = s.series_id
             OR n.cube = 7 AND n.model IS NOT DISTINCT FROM s.model AND n.upstream = s.upstream
                AND n.operation = CASE WHEN s.model IS NULL AND s.operation IN (11, 12)
                                  THEN 11 ELSE 0 END
         WHERE outcome NOT IN (1, 6)
         GROUP BY 1, 2, 3, 4",
    )
    .bind(width)
    .fetch_all(connection)
    .await
    .unwrap();
    let line = |row: &sqlx::postgres::PgRow| {
        let newest = (row.get(6), row.get::<sqlx::types::Uuid, _>(7).as_u128());
        let keys: Vec<String> = row.get(8);
        let line = (row.get(4), row.get(5), newest, keys.into_iter().collect());
        ((row.get(0), row.get(1), row.get(2), row.get(3)), line)
    };
    rows.iter().map(line).collect()
}
