//! A server that is not up yet, and one that loads its model.

use std::time::{Duration, Instant};

use modash_integration::{PATIENCE, post_json};

use crate::{
    server::{LlamaServer, Modash, free_port},
    stated::calls,
};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_model_loads_clients_get_the_servers_503_and_then_answers() {
    let port = free_port();
    let modash = Modash::start(&format!("http://127.0.0.1:{port}"), "observe").await;
    let server = LlamaServer::loading(port);
    let [(path, body), ..] = calls();
    let start = Instant::now();
    let mut statuses = Vec::new();
    while statuses.last() != Some(&200) {
        assert!(start.elapsed() < PATIENCE, "{} does not load: {statuses:?}", server.url);
        let reply = post_json(&modash.url(path), &[], &body).await.unwrap();
        if reply.status == 503 {
            let text = String::from_utf8_lossy(&reply.body);
            assert!(text.contains("Loading model"), "{text}");
        }
        statuses.push(reply.status.as_u16());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(statuses.contains(&503), "{statuses:?}");
    let rows = modash.rows(statuses.len()).await;
    for (row, status) in rows.iter().rev().zip(statuses.iter().rev()) {
        let outcome = match status {
            200 => "OUTCOME_OK",
            502 => "OUTCOME_UPSTREAM_UNREACHABLE",
            503 => "OUTCOME_HTTP_ERROR",
            other => panic!("{other} in {statuses:?}"),
        };
        assert_eq!((&row["status"], &row["outcome"]), (&(*status).into(), &outcome.into()));
        assert_eq!(row["modelRequested"], "tiny-random", "{row}");
        assert_eq!(row["completionTokens"].is_u64(), *status == 200, "{row}");
    }
}
