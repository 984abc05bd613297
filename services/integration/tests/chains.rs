//! Requests of the Responses API that follow each other are one session, through
//! processes of their own.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::time::Duration;

use modash_integration::{PATIENCE, Services, post_json, rpc_value};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::{TestDatabase, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn responses_that_follow_each_other_are_one_session() {
    let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
    let database = TestDatabase::create().await;
    let services = Services::start(&database.url(), &simulator.url()).await;
    tokio::spawn(simulator.run(Shutdown::new(Duration::from_secs(1))));
    let ask = async |previous: &Value| {
        let body = json!({ "model": "m", "input": "Go on", "previous_response_id": previous });
        let url = format!("{}/v1/responses", services.proxy_url);
        let reply = post_json(&url, &[], &body).await.unwrap();
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        answer["id"].clone()
    };
    let first = ask(&Value::Null).await;
    let second = ask(&first).await;
    ask(&second).await;
    ask(&Value::Null).await;
    eventually(PATIENCE, || async {
        let answer = rpc_value(&services.gateway_url, "Sessions", &json!({})).await?;
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = rows.iter().map(|row| (&row["session"], &row["requests"])).collect();
        if found == [(&first, &json!(3))] { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}
