//! RecentRequests: pages of single requests.

use modash_proto::v1::{
    Filter, Outcome, RecentRequestsRequest, RecentRequestsResponse, UsageEvent,
};

use modash_test_support::as_sent;

use crate::harness::{TestAnalytics, at, event_at, range, violated};

fn page(page: u32, page_size: u32) -> RecentRequestsRequest {
    RecentRequestsRequest {
        page,
        page_size,
        range: range("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"),
        ..Default::default()
    }
}

async fn ask(analytics: &TestAnalytics, request: RecentRequestsRequest) -> RecentRequestsResponse {
    let mut answer = analytics.client().await.recent_requests(request).await.unwrap().into_inner();
    answer.rows.iter_mut().for_each(as_sent);
    answer
}

fn ids(events: &[UsageEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event_id.as_str()).collect()
}

/// Seven events over two days, two of them at the same moment; the newest first.
async fn store_seven(analytics: &TestAnalytics) -> Vec<UsageEvent> {
    let mut events: Vec<_> = [
        "2026-01-01T01:00:00Z",
        "2026-01-01T02:00:00Z",
        "2026-01-01T23:59:59Z",
        "2026-01-02T00:00:00Z",
        "2026-01-02T00:00:00Z",
        "2026-01-02T05:00:00Z",
        "2026-01-02T06:00:00Z",
    ]
    .map(event_at)
    .into();
    analytics.store(events.clone()).await;
    events.sort_by(|a, b| {
        let key = |event: &UsageEvent| (event.started_at.unwrap().seconds, event.event_id.clone());
        key(b).cmp(&key(a))
    });
    events
}

#[tokio::test]
async fn pages_by_number_and_by_token_have_the_same_rows() {
    let analytics = TestAnalytics::start().await;
    let events = store_seven(&analytics).await;
    let mut token = String::new();
    for (number, expected) in (1..).zip(events.chunks(3)) {
        let by_number = ask(&analytics, page(number, 3)).await;
        let by_token =
            ask(&analytics, RecentRequestsRequest { page_token: token, ..page(number, 3) }).await;
        assert_eq!(by_number, by_token);
        assert_eq!(by_number.rows, expected);
        assert_eq!((by_number.total, by_number.page, by_number.page_size), (7, number, 3));
        token = by_number.next_page_token;
    }
    assert_eq!(token, "", "the last page has no next one");
}

#[tokio::test]
async fn a_page_that_ends_with_the_last_request_is_the_last_one() {
    let analytics = TestAnalytics::start().await;
    store_seven(&analytics).await;
    assert_eq!(ask(&analytics, page(1, 7)).await.next_page_token, "");
}

#[tokio::test]
async fn a_page_beyond_the_end_is_empty_and_still_has_the_total() {
    let analytics = TestAnalytics::start().await;
    store_seven(&analytics).await;
    for number in [4, u32::MAX] {
        let answer = ask(&analytics, page(number, 3)).await;
        assert_eq!((answer.rows.len(), answer.total, answer.page), (0, 7, number));
    }
}

#[tokio::test]
async fn a_new_request_does_not_shift_pages_by_token() {
    let analytics = TestAnalytics::start().await;
    let events = store_seven(&analytics).await;
    let first = ask(&analytics, page(1, 3)).await;
    analytics.store(vec![event_at("2026-01-02T07:00:00Z")]).await;
    let request = RecentRequestsRequest { page_token: first.next_page_token, ..page(2, 3) };
    let second = ask(&analytics, request).await;
    assert_eq!(ids(&second.rows), ids(&events[3..6]));
    assert_eq!(second.total, 8);
}

#[tokio::test]
async fn a_filter_leaves_only_what_passes() {
    let analytics = TestAnalytics::start().await;
    let with_session = UsageEvent {
        session: Some("s1".into()),
        tags: [("team".to_owned(), "blue".to_owned())].into(),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        ..event_at("2026-01-01T03:00:00Z")
    };
    let failed = UsageEvent {
        outcome: Outcome::Truncated.into(),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        ..event_at("2026-01-01T04:00:00Z")
    };
    let traces = |ids: &[&str]| Filter {
        trace_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..Default::default()
    };
    analytics
        .store(vec![with_session.clone(), failed.clone(), event_at("2026-01-01T05:00:00Z")])
        .await;
    let cases = [
        (Filter { sessions: vec!["s1".into()], ..Default::default() }, &with_session),
        (traces(&["0af7651916cd43dd8448eb211c80319c"]), &with_session),
        (traces(&["0AF7651916CD43DD8448EB211C80319C", &"1".repeat(32)]), &with_session),
        (Filter { tags: with_session.tags.clone(), ..Default::default() }, &with_session),
        (Filter { outcomes: vec![Outcome::Truncated.into()], ..Default::default() }, &failed),
    ];
    for (filter, expected) in cases {
        let request = RecentRequestsRequest { filter: Some(filter), ..page(1, 10) };
        let answer = ask(&analytics, request).await;
        assert_eq!((ids(&answer.rows), answer.total), (vec![expected.event_id.as_str()], 1));
    }
}

#[tokio::test]
async fn bad_pages_are_refused_with_their_fields() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    for (number, size, fields) in [
        (0, 10, &["page"][..]),
        (1, 0, &["page_size"]),
        (1, 101, &["page_size"]),
        (0, 0, &["page", "page_size"]),
    ] {
        let status = client.recent_requests(page(number, size)).await.unwrap_err();
        assert_eq!(violated(&status), fields);
    }
    let request = RecentRequestsRequest { page_token: "x".into(), ..page(1, 1) };
    assert_eq!(violated(&client.recent_requests(request).await.unwrap_err()), ["page_token"]);
}

#[tokio::test]
async fn a_deep_page_is_the_same_by_number_and_by_token() {
    let analytics = TestAnalytics::start().await;
    // Three in a second now and then, over three days.
    let start = at("2026-01-01T00:00:00Z").timestamp_micros();
    let events = (0..1_400_i64)
        .map(|number| modash_test_support::event_at(start + number / 3 * 555_000_000))
        .collect();
    analytics.store(events).await;
    let mut client = analytics.client().await;
    let mut request = RecentRequestsRequest {
        page: 1,
        page_size: 100,
        range: range("2026-01-01T00:00:07Z", "2026-01-04T00:00:00Z"),
        ..Default::default()
    };
    let mut seen = Vec::new();
    for page in 1..=14 {
        let by_token = client.recent_requests(request.clone()).await.unwrap().into_inner();
        let by_number =
            RecentRequestsRequest { page, page_token: String::new(), ..request.clone() };
        let by_number = client.recent_requests(by_number).await.unwrap().into_inner();
        assert_eq!(by_number.rows, by_token.rows, "page {page}");
        assert_eq!((by_number.total, by_token.total), (1_397, 1_397));
        request.page_token = by_token.next_page_token;
        seen.extend(by_token.rows);
    }
    assert_eq!((seen.len(), request.page_token.as_str()), (1_397, ""));
    let beyond = RecentRequestsRequest { page: 15, page_token: String::new(), ..request };
    assert!(client.recent_requests(beyond).await.unwrap().into_inner().rows.is_empty());
}
