//! Stops in the order of the data, each part within its part of the grace period.

use http::HeaderName;
use modash_integration::{PATIENCE, Signal, rpc_value};
use modash_test_support::eventually;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{account::settle, clients::Clients, disk::with_own_mounts, system::System};

/// The account of the proxy.
async fn replica(system: &System) -> Result<Value, String> {
    let mut answer = rpc_value(&system.gateway_url, "Completeness", &json!({})).await?;
    Ok(answer["replicas"][0].take())
}

/// What the proxy reported last.
async fn reported(system: &System) -> Result<Value, String> {
    Ok(replica(system).await?["reported"].take())
}

#[test]
fn a_proxy_that_stops_hands_over_everything_and_reports_it() {
    with_own_mounts(async {
        let mut system = System::start(&[]).await;
        let clients = Clients::start(&system.proxied(), 8, 0);
        eventually(PATIENCE, || async { clients.done() > 200 }).await;
        // No new requests; those that run end.
        system.lives.end();
        system.proxy.end(Signal::TERM).await;
        let asked = clients.finish().await;
        let account = settle(&system, &asked).await.unwrap();
        let reported = reported(&system).await.unwrap();
        assert_eq!((account.interrupted, &reported["rejected"]), (0, &json!(0)));
        for count in ["started", "finished", "acknowledged"] {
            assert_eq!(reported[count], account.rows, "{count} in {reported}");
        }
        eventually(PATIENCE, || async {
            let replica = replica(&system).await?;
            let stopped = replica["state"] == "COMPLETENESS_STATE_STOPPED";
            if stopped { Ok(()) } else { Err(replica.to_string()) }
        })
        .await;
        assert!(!system.proxy.said().contains("did not stop"), "{}", system.proxy.said());
    });
}

#[test]
fn a_request_that_never_ends_leaves_time_to_hand_over_its_event() {
    with_own_mounts(async {
        let grace = [("MODASH_GRACE_PERIOD_SECONDS", "5".to_owned())];
        let mut system = System::start(&grace).await;
        let name = HeaderName::from_static(crate::clients::NAME);
        let body = json!({ "model": "m", "stream": true, "messages": [] }).to_string();
        let address = system.proxied().url.trim_start_matches("http://").to_owned();
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\n{name}: stuck\r\n\
             x-simulate-fault: stall\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        client.write_all(request.as_bytes()).await.unwrap();
        eventually(PATIENCE, || async { system.upstream.started() == 1 }).await;
        system.proxy.end(Signal::TERM).await;
        // It was cut off, and that was told.
        let said = system.proxy.said();
        assert!(said.contains("\"part\":\"requests in flight\""), "{said}");
        assert!(!said.contains("\"part\":\"hand-over"), "{said}");
        eventually(PATIENCE, || async {
            let page = json!({ "page": 1, "pageSize": 10 });
            let answer = rpc_value(&system.gateway_url, "RecentRequests", &page).await?;
            if answer["rows"][0]["session"] == "stuck" { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
        // Reports are written once a second.
        eventually(PATIENCE, || async {
            let reported = reported(&system).await?;
            if reported["acknowledged"] == 1 { Ok(()) } else { Err(reported.to_string()) }
        })
        .await;
        drop(client);
    });
}

#[test]
fn a_database_that_does_not_answer_leaves_analytics_time_for_its_other_parts() {
    with_own_mounts(async {
        let mut system = System::start(&[]).await;
        system.analytics.set("MODASH_GRACE_PERIOD_SECONDS", "5");
        system.analytics.end(Signal::TERM).await;
        system.analytics.start_again().await;
        let clients = Clients::start(&system.proxied(), 4, 0);
        eventually(PATIENCE, || async {
            let summary = rpc_value(&system.gateway_url, "UsageSummary", &json!({})).await?;
            if summary["requests"].as_u64() > Some(20) { Ok(()) } else { Err(summary.to_string()) }
        })
        .await;
        system.database.lock();
        let done = clients.done();
        eventually(PATIENCE, || async { clients.done() > done + 50 }).await;
        system.analytics.end(Signal::TERM).await;
        let said = system.analytics.said();
        for part in ["ingest streams", "ingest writers"] {
            assert!(said.contains(&format!("\"part\":\"{part}\"")), "{part} in {said}");
        }
        for part in ["subscriptions", "analytics listener"] {
            assert!(!said.contains(&format!("\"part\":\"{part}\"")), "{part} in {said}");
        }
        // What was not acknowledged is sent to the next one.
        system.database.heal().await;
        system.analytics.start_again().await;
        settle(&system, &clients.finish().await).await.unwrap();
    });
}
