//! Requests of the Responses API that follow each other are one session, in whatever
//! order their events arrive.

use modash_proto::{
    micros_from_timestamp,
    v1::{Filter, Operation, RecentRequestsRequest, SessionRequest, SessionsRequest, UsageEvent},
};
use modash_test_support::{event, eventually};

use crate::harness::{PATIENCE, TestAnalytics};

/// A response that follows another.
fn response(id: &str, previous: Option<&str>) -> UsageEvent {
    UsageEvent {
        dialect: "openai-responses".to_owned(),
        response_id: Some(id.to_owned()),
        previous_response_id: previous.map(str::to_owned),
        ..event()
    }
}

/// Waits until nothing waits to be joined.
async fn joined(analytics: &TestAnalytics) {
    eventually(PATIENCE, || async {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM response_notes) + (SELECT count(*) FROM session_changes)",
        )
        .fetch_one(&mut analytics.connection().await)
        .await
        .unwrap();
        waiting == 0
    })
    .await;
}

/// Sessions with their requests and tokens, by name.
async fn sessions(analytics: &TestAnalytics) -> Vec<(String, u64, u64)> {
    let mut client = analytics.client().await;
    let answer = client.sessions(SessionsRequest::default()).await.unwrap().into_inner();
    let sums = answer.rows.into_iter().map(|row| (row.session, row.requests, row.total_tokens));
    let mut sums: Vec<_> = sums.collect();
    sums.sort();
    sums
}

/// Responses of the requests of a session, oldest first, as a filter and as the session
/// itself has them.
async fn responses(analytics: &TestAnalytics, session: &str) -> [Vec<String>; 2] {
    let mut client = analytics.client().await;
    let ids = |mut events: Vec<UsageEvent>| {
        events.sort_by_key(|event| event.started_at.as_ref().and_then(micros_from_timestamp));
        events.into_iter().filter_map(|event| event.response_id).collect()
    };
    let filter = Some(Filter { sessions: vec![session.to_owned()], ..Default::default() });
    let request = RecentRequestsRequest { page: 1, page_size: 100, filter, ..Default::default() };
    let filtered = client.recent_requests(request).await.unwrap().into_inner().rows;
    let request = SessionRequest { session: session.to_owned(), ..Default::default() };
    let own = client.session(request).await.unwrap().into_inner().requests;
    [ids(filtered), ids(own)]
}

#[tokio::test]
async fn a_chain_is_one_session_however_its_requests_arrive() {
    let chain = [
        response("resp_1", None),
        response("resp_2", Some("resp_1")),
        response("resp_3", Some("resp_2")),
        response("resp_4", Some("resp_2")),
        response("resp_alone", None),
    ];
    let sum = ("resp_1".to_owned(), 4, 4 * 150);
    for order in [[3, 2, 1, 0, 4], [2, 0, 3, 4, 1]] {
        let analytics = TestAnalytics::start().await;
        for at in order {
            analytics.store(vec![chain[at].clone()]).await;
            joined(&analytics).await;
        }
        // All of it again, as after a lost acknowledgement.
        analytics.store(chain.to_vec()).await;
        joined(&analytics).await;
        assert_eq!(sessions(&analytics).await, std::slice::from_ref(&sum));
        let expected = ["resp_1", "resp_2", "resp_3", "resp_4"].map(str::to_owned).to_vec();
        assert_eq!(responses(&analytics, "resp_1").await, [expected.clone(), expected]);
        assert_eq!(responses(&analytics, "resp_2").await, [Vec::<String>::new(), Vec::new()]);
        analytics.stop().await;
    }
}

#[tokio::test]
async fn a_named_session_goes_on_and_other_calls_stay_out() {
    let analytics = TestAnalytics::start().await;
    let named = UsageEvent { session: Some("mine".to_owned()), ..response("resp_1", None) };
    let failed = UsageEvent { response_id: None, ..response("", Some("resp_2")) };
    let read = UsageEvent { operation: Operation::Retrieval.into(), ..response("resp_2", None) };
    let other_upstream =
        UsageEvent { upstream: "other".to_owned(), ..response("resp_9", Some("resp_1")) };
    let chat = UsageEvent { response_id: Some("resp_1".to_owned()), ..event() };
    analytics
        .store(vec![response("resp_2", Some("resp_1")), failed, read, other_upstream, chat, named])
        .await;
    joined(&analytics).await;
    let expected = [("mine".to_owned(), 3, 450), ("resp_1".to_owned(), 1, 150)];
    assert_eq!(sessions(&analytics).await, expected);
    // What was joined is summed up as the rest is.
    let before = sessions(&analytics).await;
    let rebuilt = sqlx::query_scalar::<_, i64>(
        "SELECT count(*) FROM requests WHERE session IN ('mine', 'resp_1')",
    )
    .fetch_one(&mut analytics.connection().await)
    .await
    .unwrap();
    assert_eq!((rebuilt, before), (4, expected.to_vec()));
    analytics.stop().await;
}
