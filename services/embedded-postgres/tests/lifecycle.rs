//! The life of a private database: first start, use, stop, second start.

use modash_embedded_postgres::{Config, EmbeddedPostgres};
use sqlx::{Connection as _, PgConnection};

#[tokio::test]
async fn the_first_start_creates_a_database_that_the_second_finds() {
    let place = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(
        place.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let config = Config::new(place.path().join("data"));
    let started = std::time::Instant::now();
    let server = EmbeddedPostgres::start(config.clone()).await.unwrap();
    println!("cold start: {:?}", started.elapsed());
    let mut client = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::query("CREATE TABLE kept (n int)")
        .execute(&mut client)
        .await
        .unwrap();
    sqlx::query("INSERT INTO kept VALUES (7)")
        .execute(&mut client)
        .await
        .unwrap();
    let started = std::time::Instant::now();
    server.stop().await;
    println!("stop: {:?}", started.elapsed());
    let started = std::time::Instant::now();
    let server = EmbeddedPostgres::start(config).await.unwrap();
    println!("warm start: {:?}", started.elapsed());
    let mut client = PgConnection::connect(&server.url()).await.unwrap();
    let (n,): (i32,) = sqlx::query_as("SELECT n FROM kept")
        .fetch_one(&mut client)
        .await
        .unwrap();
    assert_eq!(n, 7);
    server.stop().await;
}
