//! Whatever dies: the server never outlives its owner, and the next start finds
//! its data.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    process::Command,
};

use modash_embedded_postgres::{Config, EmbeddedPostgres, Error, Lifetime};
use rustix::process::{Pid, Signal, getpgid, kill_process};
use sqlx::{Connection as _, PgConnection};
use support::{Owner, is_alive, place, run_as_owner, server_process, wait_for};

async fn execute(url: &str, statement: &'static str) {
    let mut client = PgConnection::connect(url).await.unwrap();
    sqlx::query(statement).execute(&mut client).await.unwrap();
}

fn signal(process: i32, signal: Signal) {
    kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn a_killed_owner_takes_its_server_along() {
    let place = place();
    let data_dir = place.path().join("data");
    let mut owner = Owner::start(&data_dir, Lifetime::Kept, None);
    let server = server_process(&data_dir);
    assert!(is_alive(server));
    owner.kill();
    wait_for("the server ends", || !is_alive(server));
    wait_for("it ends in order", || !data_dir.join("cluster/postmaster.pid").exists());
}

#[tokio::test]
async fn a_start_right_after_the_kill_waits_for_the_old_server() {
    let place = place();
    let data_dir = place.path().join("data");
    let mut owner = Owner::start(&data_dir, Lifetime::Kept, None);
    execute(&owner.url, "CREATE TABLE kept ()").await;
    owner.kill();
    let server = EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap();
    execute(&server.url(), "SELECT FROM kept").await;
}

#[tokio::test]
async fn a_killed_owner_of_a_throwaway_leaves_nothing() {
    let place = place();
    let data_dir = place.path().join("data");
    Owner::start(&data_dir, Lifetime::Throwaway, None).kill();
    wait_for("the directory goes", || !data_dir.exists());
}

#[tokio::test]
async fn an_interrupt_from_the_terminal_does_not_reach_the_server() {
    let place = place();
    let data_dir = place.path().join("data");
    let owner = Owner::start(&data_dir, Lifetime::Kept, None);
    let group = |process| getpgid(Pid::from_raw(process)).unwrap();
    let of_owner = group(i32::try_from(owner.child.id()).unwrap());
    assert_ne!(group(server_process(&data_dir)), of_owner);
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_the_next_one_recovers() {
    let place = place();
    let data_dir = place.path().join("data");
    let server = EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap();
    execute(&server.url(), "CREATE TABLE kept ()").await;
    signal(server_process(&data_dir), Signal::KILL);
    server.ended().await;
    drop(server);
    assert!(data_dir.join("cluster/postmaster.pid").exists());
    let server = EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap();
    execute(&server.url(), "SELECT FROM kept").await;
}

#[tokio::test]
async fn a_stale_lock_is_cleared_even_if_its_number_belongs_to_somebody_else_now() {
    let place = place();
    let data_dir = place.path().join("data");
    EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap().stop().await;
    let owner = fs::metadata(data_dir.join("cluster")).unwrap();
    let somebody = || {
        let mut command = Command::new("sleep");
        command.arg("60").uid(owner.uid()).gid(owner.gid()).current_dir("/").spawn().unwrap()
    };
    let mut dead = somebody();
    dead.kill().unwrap();
    dead.wait().unwrap();
    let mut alive = somebody();
    for process in [dead.id().to_string(), alive.id().to_string(), String::new()] {
        let lock = format!("{process}\n/elsewhere\n1\n5432\n/elsewhere\n\n1 1\nready\n");
        for file in ["cluster/postmaster.pid", ".s.PGSQL.5432.lock", ".s.PGSQL.5432"] {
            fs::write(data_dir.join(file), &lock).unwrap();
            chown(data_dir.join(file), Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap().stop().await;
    }
    alive.kill().unwrap();
    alive.wait().unwrap();
}

#[tokio::test]
async fn an_interrupted_first_start_leaves_no_half_cluster() {
    let place = place();
    let data_dir = place.path().join("data");
    EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap().stop().await;
    fs::rename(data_dir.join("cluster"), data_dir.join("cluster.unfinished-1")).unwrap();
    fs::remove_file(data_dir.join("cluster.unfinished-1/PG_VERSION")).unwrap();
    EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap().stop().await;
    assert!(!data_dir.join("cluster.unfinished-1").exists());
}

#[tokio::test]
async fn a_server_whose_guard_was_killed_is_named_and_left_alone() {
    let place = place();
    let data_dir = place.path().join("data");
    let server = EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap();
    let process = server_process(&data_dir);
    for child in children_of_guard(process) {
        signal(child, Signal::KILL);
    }
    server.ended().await;
    drop(server);
    let error = EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap_err();
    assert!(
        matches!(error, Error::ServerRunning { process: named, .. } if named == process.unsigned_abs())
    );
    assert!(is_alive(process));
    signal(process, Signal::INT);
    EmbeddedPostgres::start(Config::new(&data_dir)).await.unwrap().stop().await;
}

/// The guard and its watcher: all of the server's process group but the server
/// and its own children.
fn children_of_guard(server: i32) -> Vec<i32> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,pgid=,comm="]).output();
    let group = getpgid(Pid::from_raw(server)).unwrap().as_raw_nonzero().to_string();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let guards = lines.filter(|line| line[1] == group && line[2].ends_with("sh"));
    guards.map(|line| line[0].parse().unwrap()).collect()
}

#[test]
#[ignore = "is a child process of other tests"]
fn owner() {
    run_as_owner();
}
