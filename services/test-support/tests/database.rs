//! Databases of tests: real, separate, and reachable through a line to cut.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use modash_test_support::{Relay, TestDatabase, eventually};
use sqlx::{Connection as _, PgConnection};

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

#[tokio::test]
async fn two_databases_share_nothing() {
    let (one, two) = (TestDatabase::create().await, TestDatabase::create().await);
    let mut in_one = connect(&one.url()).await;
    sqlx::query("CREATE TABLE only_here ()").execute(&mut in_one).await.unwrap();
    let mut in_two = connect(&two.url()).await;
    assert!(sqlx::query("SELECT FROM only_here").execute(&mut in_two).await.is_err());
}

#[tokio::test]
async fn a_dropped_database_is_gone_although_a_client_is_connected() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let mut client = connect(&url).await;
    drop(database);
    assert!(client.ping().await.is_err());
    assert!(PgConnection::connect(&url).await.is_err());
}

#[tokio::test]
async fn a_cut_line_breaks_the_client_and_a_restored_one_takes_new_ones() {
    let database = TestDatabase::create().await;
    let relay = Relay::start(database.socket()).await;
    let url = database.url_through(relay.address());
    let mut client = connect(&url).await;
    client.ping().await.unwrap();
    relay.cut();
    eventually(Duration::from_secs(10), async || PgConnection::connect(&url).await.is_err()).await;
    assert!(client.ping().await.is_err());
    relay.restore();
    connect(&url).await.ping().await.unwrap();
}
