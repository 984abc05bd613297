//! Disks, ports, variables and exit codes.

use std::net::TcpListener;

use modash_integration::AllInOne;
use modash_test_support::{Answer, FakeUpstream};

use crate::{
    disk::{Disk, with_own_mounts},
    run::{data_directory, doctor, modash},
};

const MODELS: &str = r#"{"object":"list","data":[{"id":"m","object":"model","owned_by":"vllm"}]}"#;

async fn upstream() -> FakeUpstream {
    let server = FakeUpstream::start().await;
    server.answer_always(Answer::json(MODELS));
    server
}

#[test]
fn a_full_disk_is_found_before_the_database_stops_on_it() {
    with_own_mounts(async {
        let server = upstream().await;
        let disk = Disk::new(64 << 20);
        if !disk.is_small() {
            eprintln!("left out: a disk of its own needs root");
            return;
        }
        disk.fill();
        let report = doctor(disk.path(), &[("UPSTREAM_URL", server.url())], &[]).await;
        assert_eq!(report.levels("mend"), ["disk.data", "disk.spool"], "{report:?}");
        disk.free();
        let report = doctor(disk.path(), &[("UPSTREAM_URL", server.url())], &[]).await;
        // 64 MB are few for a database all the same.
        assert_eq!(report.levels("mend"), ["disk.data"], "{report:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_with_its_owner() {
    let (server, data) = (upstream().await, data_directory());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = [("UPSTREAM_URL", server.url()), ("PORT", port.to_string())];
    let report = doctor(data.path(), &settings, &[]).await;
    assert_eq!(report.levels("mend"), ["ports.taken"]);
    let finding = report.finding("ports.taken");
    assert!(finding.contains(&format!("port {port} (proxy)")), "{finding}");
    if cfg!(target_os = "linux") {
        assert!(finding.contains(&format!("process {}", std::process::id())), "{finding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_modash_that_runs_all_is_well() {
    let (server, data) = (upstream().await, data_directory());
    let settings = [("UPSTREAM_URL", server.url())];
    let running = AllInOne::start(data.path(), &settings, &[]).await;
    let port = running.proxy.rsplit_once(':').unwrap().1.to_owned();
    let settings = [("UPSTREAM_URL", server.url()), ("PORT", port.clone())];
    let report = doctor(data.path(), &settings, &[]).await;
    assert_eq!((report.code, report.levels("mend")), (0, vec![]), "{report:?}");
    assert!(report.finding("ports.running").contains(&port), "{report:?}");
    assert!(report.finding("database.private").contains("in use by the modash that runs"));
    assert!(report.finding("database.schema").contains("up to date"), "{report:?}");
    let clients = report.json["clients"].to_string();
    assert!(clients.contains(&format!("OPENAI_BASE_URL=http://127.0.0.1:{port}/v1")), "{clients}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_proxy_that_applications_would_take_is_named() {
    let (server, data) = (upstream().await, data_directory());
    let mut settings = vec![
        ("UPSTREAM_URL", server.url()),
        ("HTTPS_PROXY", "http://user:secret@proxy.example:3128".to_owned()),
    ];
    let report = doctor(data.path(), &settings, &[]).await;
    assert_eq!(report.levels("mend"), ["system.proxy"]);
    assert!(report.finding("system.proxy").contains("NO_PROXY=127.0.0.1,localhost"), "{report:?}");
    assert!(!report.json.to_string().contains("secret"), "{report:?}");
    settings.push(("NO_PROXY", "127.0.0.1,localhost".to_owned()));
    let report = doctor(data.path(), &settings, &[]).await;
    assert_eq!(report.levels("mend"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_are_those_that_the_help_says() {
    let (server, data) = (upstream().await, data_directory());
    let settings = [("UPSTREAM_URL", server.url())];
    let (code, stdout, stderr) = modash(data.path(), &settings, &["doctor"]).await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.ends_with("\nall well\n"), "{stdout}");
    let closed = [("UPSTREAM_URL", "http://127.0.0.1:1".to_owned())];
    let (code, _, stderr) = modash(data.path(), &closed, &["doctor"]).await;
    assert_eq!((code, stderr.as_str()), (1, "modash: 1 thing to mend\n"));
    let wrong = [("UPSTREAM_URL", "127.0.0.1:8080".to_owned())];
    let (code, _, stderr) = modash(data.path(), &wrong, &["doctor"]).await;
    assert_eq!(code, 64, "{stderr}");
    assert!(stderr.contains("UPSTREAM_URL"), "{stderr}");
}
