//! The life of a private database: first start, use, stop, second start.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use modash_embedded_postgres::{Config, EmbeddedPostgres, Lifetime};
use sqlx::{Connection as _, PgConnection};
use support::{Owner, is_root, place, run_as_owner};

async fn number(url: &str, query: &'static str) -> i64 {
    let mut client = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(query).fetch_one(&mut client).await.unwrap()
}

async fn text(url: &str, query: &'static str) -> String {
    let mut client = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(query).fetch_one(&mut client).await.unwrap()
}

#[tokio::test]
async fn what_the_first_run_stored_the_second_finds() {
    let place = place();
    let config = Config::new(place.path().join("data"));
    let server = EmbeddedPostgres::start(config.clone()).await.unwrap();
    let mut client = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::query("CREATE TABLE kept AS SELECT 7::bigint AS n").execute(&mut client).await.unwrap();
    // The client is still connected: it must not hold up the stop.
    server.stop().await;
    assert!(client.ping().await.is_err());
    let server = EmbeddedPostgres::start(config).await.unwrap();
    assert_eq!(number(&server.url(), "SELECT n FROM kept").await, 7);
    let version = text(&server.url(), "SHOW server_version").await;
    assert!(version.starts_with(server.version()), "{version}");
    assert!(version.starts_with(&server.major_version().to_string()), "{version}");
}

#[tokio::test]
async fn nothing_listens_on_tcp_and_data_is_durable_unicode() {
    let place = place();
    let server = EmbeddedPostgres::start(Config::new(place.path().join("data"))).await.unwrap();
    for (query, expected) in [
        ("SHOW listen_addresses", ""),
        ("SHOW fsync", "on"),
        ("SHOW synchronous_commit", "on"),
        ("SHOW server_encoding", "UTF8"),
        ("SHOW max_connections", "60"),
        ("SELECT current_user::text", "modash"),
        ("SELECT current_database()::text", "modash"),
        ("SELECT upper('é')", "É"),
        ("SELECT min(x) FROM (VALUES ('a'), ('B')) AS t(x)", "B"),
    ] {
        assert_eq!(text(&server.url(), query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_data_directory_too_deep_for_a_socket_gets_a_short_one() {
    let place = place();
    let data_dir = place.path().join("deep".repeat(30)).join("down".repeat(30));
    let server = EmbeddedPostgres::start(Config::new(data_dir)).await.unwrap();
    assert_eq!(number(&server.url(), "SELECT 1::bigint").await, 1);
    let sockets = server.socket().parent().unwrap().to_owned();
    assert!(sockets.exists());
    server.stop().await;
    assert!(!sockets.exists());
}

#[tokio::test]
async fn odd_characters_in_the_path_reach_the_url() {
    let place = place();
    let data_dir = place.path().join("my data ü%20'#?");
    let server = EmbeddedPostgres::start(Config::new(data_dir)).await.unwrap();
    assert_eq!(number(&server.url(), "SELECT 1::bigint").await, 1);
}

#[tokio::test]
async fn a_throwaway_is_gone_when_it_has_stopped() {
    let place = place();
    let data_dir = place.path().join("data");
    let server = EmbeddedPostgres::start(Config::throwaway(&data_dir)).await.unwrap();
    assert_eq!(text(&server.url(), "SHOW fsync").await, "off");
    server.stop().await;
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn databases_come_and_go() {
    let place = place();
    let config = Config::throwaway(place.path().join("data"));
    let server = EmbeddedPostgres::start(config).await.unwrap();
    server.create_database("another").unwrap();
    assert!(server.create_database("another").is_err());
    let mut client = PgConnection::connect(&server.url_of("another")).await.unwrap();
    server.drop_database("another").unwrap();
    assert!(client.ping().await.is_err());
    server.drop_database("another").unwrap();
    assert!(server.create_database("a\"b").is_err());
}

#[tokio::test]
async fn it_works_without_root() {
    if !is_root() {
        // Then every other test is this one.
        return;
    }
    let place = place();
    let nobody = (65_534, 65_534);
    let home = place.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(nobody.0), Some(nobody.1)).unwrap();
    let owner = Owner::start(&home.join("data"), Lifetime::Kept, Some(nobody));
    assert_eq!(number(&owner.url, "SELECT 1::bigint").await, 1);
}

#[test]
#[ignore = "is a child process of other tests"]
fn owner() {
    run_as_owner();
}
