//! Schema and upkeep: migrations, partitions, Citus' rules, series.

use std::time::Duration;

use modash_analytics::{Error, migrate};
use modash_proto::v1::{
    CompletenessRequest, ErrorBreakdownRequest, ListMarksRequest, ListNamesRequest,
    ListViewsRequest, ModelBreakdownRequest, RecentRequestsRequest, SessionRequest,
    SessionsRequest, UsageEvent, UsageSummaryRequest,
};
use modash_runtime::ServiceContext;
use modash_test_support::{TestDatabase, event};
use sqlx::{Connection as _, PgConnection};

use crate::harness::{PATIENCE, TestAnalytics, TestProxy, config, event_at, migrated};

async fn partitions(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT inhrelid::regclass::text FROM pg_inherits
         WHERE inhparent = 'requests'::regclass ORDER BY 1",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn migrations_run_once_however_many_start_at_a_time() {
    let database = TestDatabase::create().await;
    let runs = (0..4).map(|_| migrated(config(&database.url())));
    for run in futures_util::future::join_all(runs).await {
        run.unwrap();
    }
}

#[tokio::test]
async fn who_waits_for_a_database_to_migrate_ends_when_a_stop_is_asked_for() {
    let context = ServiceContext::new(Duration::from_secs(10));
    let nobody = config("postgres://modash@127.0.0.1:1/modash");
    let migrating = tokio::spawn(migrate(nobody, context.clone()));
    context.shutdown.request();
    let ended = tokio::time::timeout(PATIENCE, migrating).await.unwrap().unwrap();
    assert!(matches!(ended, Err(Error::Stopped)), "{ended:?}");
}

#[tokio::test]
async fn a_migration_of_a_newer_binary_does_not_matter() {
    let database = TestDatabase::create().await;
    migrated(config(&database.url())).await.unwrap();
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', true, '\\x00', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    migrated(config(&database.url())).await.unwrap();
}

#[tokio::test]
async fn a_schema_from_before_the_first_release_is_refused_with_the_way_out() {
    let database = TestDatabase::create().await;
    migrated(config(&database.url())).await.unwrap();
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    // As those versions left it: the same number for another file.
    sqlx::query("UPDATE _sqlx_migrations SET description = 'usage', checksum = '\\x00'")
        .execute(&mut connection)
        .await
        .unwrap();
    let error = migrated(config(&database.url())).await.unwrap_err().to_string();
    for part in ["before the first release", "modash data export", "MODASH_DATA_DIRECTORY"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_column_that_a_newer_binary_adds_disturbs_no_query() {
    let analytics = TestAnalytics::start().await;
    for requests in 1..=3 {
        let event = UsageEvent { session: Some("a".to_owned()), ..event() };
        analytics.store(vec![event]).await;
        let mut client = analytics.client().await;
        let request = RecentRequestsRequest { page: 1, page_size: 10, ..Default::default() };
        let found = client.recent_requests(request).await.unwrap().into_inner();
        assert_eq!(found.rows.len(), requests);
        let found = client.usage_summary(UsageSummaryRequest::default()).await.unwrap();
        assert_eq!(found.into_inner().requests, requests as u64);
        let found = client.sessions(SessionsRequest::default()).await.unwrap().into_inner();
        assert_eq!(found.rows[0].requests, requests as u64);
        let request = SessionRequest { session: "a".to_owned(), ..Default::default() };
        client.session(request).await.unwrap();
        client.model_breakdown(ModelBreakdownRequest::default()).await.unwrap();
        client.error_breakdown(ErrorBreakdownRequest::default()).await.unwrap();
        client.list_views(ListViewsRequest {}).await.unwrap();
        client.list_marks(ListMarksRequest::default()).await.unwrap();
        client.list_names(ListNamesRequest {}).await.unwrap();
        client.completeness(CompletenessRequest {}).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p')
             AND NOT relispartition AND relnamespace = 'public'::regnamespace
             AND relname <> '_sqlx_migrations'",
        )
        .fetch_all(&mut analytics.connection().await)
        .await
        .unwrap();
        for table in tables {
            let add = format!("ALTER TABLE {table} ADD COLUMN of_the_future_{requests} text");
            let add = sqlx::raw_sql(sqlx::AssertSqlSafe(add));
            add.execute(&mut analytics.connection().await).await.unwrap();
        }
    }
}

#[tokio::test]
async fn partitions_are_made_on_demand_and_dropped_after_the_retention() {
    let analytics = TestAnalytics::start().await;
    let mut connection = analytics.connection().await;
    let ahead = partitions(&mut connection).await;
    assert_eq!(ahead.len(), 3, "today and two days ahead: {ahead:?}");
    analytics.store(vec![event_at("2026-01-01T00:00:00Z"), event()]).await;
    let with_old = partitions(&mut connection).await;
    assert_eq!(with_old.first().map(String::as_str), Some("requests_20260101"));
    let url = analytics.database.url();
    let mut shorter = config(&url);
    shorter.retention_days = 30;
    migrated(shorter).await.unwrap();
    assert_eq!(partitions(&mut connection).await, ahead);
    assert_eq!(analytics.stored().await, 1);
    // A day that was dropped stays so, also where another process would keep it:
    // its requests are in the rollups, and would be a second time.
    let mut proxy = TestProxy::connect(&analytics, "late").await;
    let last = proxy.send(vec![event_at("2026-01-01T00:00:00Z")]).await;
    assert_eq!(proxy.acknowledged(last).await.len(), 1);
    assert_eq!(analytics.stored().await, 1);
}

#[tokio::test]
async fn the_schema_keeps_the_rules_of_citus() {
    let analytics = TestAnalytics::start().await;
    let mut connection = analytics.connection().await;
    analytics.store(vec![event()]).await;
    for (table, column) in [
        ("requests", "event_id"),
        ("rollups", "series_id"),
        ("rollup_changes", "series_id"),
        // reference tables
        ("series", "series_id"),
        ("client_key_numbers", "series_id"),
        ("kinds", "kind_id"),
        ("rollup_levels", "level"),
        ("dropped_days", "subject"),
    ] {
        let violations: Vec<String> = sqlx::query_scalar(
            "SELECT i.indexrelid::regclass::text FROM pg_index i
             WHERE i.indrelid = $1::regclass AND i.indisunique AND NOT EXISTS (
                 SELECT FROM pg_attribute a WHERE a.attrelid = i.indrelid
                 AND a.attnum = ANY (i.indkey) AND a.attname = $2)",
        )
        .bind(table)
        .bind(column)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        assert_eq!(violations, [""; 0], "unique keys of {table} without {column}");
    }
    let (foreign_keys, sequences): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM pg_constraint WHERE contype = 'f'),
                (SELECT count(*) FROM pg_sequences WHERE schemaname = 'public')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!((foreign_keys, sequences), (0, 0));
}

#[tokio::test]
async fn equal_dimensions_are_one_series() {
    let analytics = TestAnalytics::start().await;
    let other = UsageEvent { user: Some("ana".into()), ..event() };
    analytics.store(vec![event(), event(), other.clone()]).await;
    analytics.store(vec![event(), other]).await;
    let series: i64 = sqlx::query_scalar("SELECT count(*) FROM series WHERE cube = 0")
        .fetch_one(&mut analytics.connection().await)
        .await
        .unwrap();
    assert_eq!(series, 2);
}

#[tokio::test]
async fn a_series_whose_hash_is_taken_gets_another_one() {
    let analytics = TestAnalytics::start().await;
    analytics.store(vec![event()]).await;
    // Another set under the same hash, as a collision would have it.
    let mut connection = analytics.connection().await;
    sqlx::query("UPDATE series SET model = 'another' WHERE cube = 0")
        .execute(&mut connection)
        .await
        .unwrap();
    let second =
        TestAnalytics::start_on(TestDatabase::create().await, &analytics.database.url(), |_| {})
            .await;
    second.ready().await;
    second.store(vec![event()]).await;
    let models: Vec<(String, i64)> = sqlx::query_as(
        "SELECT s.model, count(*) FROM requests r JOIN series s USING (series_id)
         GROUP BY 1 ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(models, [("another".to_owned(), 1), ("qwen3-8b".to_owned(), 1)]);
}

#[tokio::test]
async fn what_many_requests_have_in_common_is_stored_once_and_an_id_in_a_path_is_not() {
    let analytics = TestAnalytics::start().await;
    let mut events: Vec<UsageEvent> = (0..6).map(|_| event()).collect();
    let path = "/v1/responses/resp_68af4030baa48193b0b43b4c2a176a1a0e6967589f080e78";
    events[4].path = path.to_owned();
    events[5].finish_reason = Some("length".to_owned());
    analytics.store(events.clone()).await;
    let mut connection = analytics.connection().await;
    let (kinds, with_texts): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM kinds),
                (SELECT count(*) FROM requests WHERE kind_id IS NULL AND path IS NOT NULL)",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!((kinds, with_texts), (2, 1));
    // Another set under the hash of the first, as a collision would have it.
    sqlx::query("UPDATE kinds SET path = '/other'").execute(&mut connection).await.unwrap();
    let second =
        TestAnalytics::start_on(TestDatabase::create().await, &analytics.database.url(), |_| {})
            .await;
    second.ready().await;
    second.store(vec![event()]).await;
    let kinds: i64 =
        sqlx::query_scalar("SELECT count(*) FROM kinds").fetch_one(&mut connection).await.unwrap();
    assert_eq!(kinds, 3);
}
