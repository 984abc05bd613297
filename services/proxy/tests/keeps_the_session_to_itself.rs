//! Browsers send the cookie of modash's dashboard to the proxy's port of the same host
//! too. It does not go on to an upstream; everything else of a request does, as it came.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod support;

use modash_test_support::{Answer, FakeUpstream};
use support::{
    TestProxy,
    frames::{END_HEADERS, END_STREAM, Frames, HEADERS, request},
};

async fn proxy() -> (FakeUpstream, TestProxy) {
    let upstream = FakeUpstream::start().await;
    upstream.answer_always(Answer::json("{}"));
    let proxy = TestProxy::start(&upstream).await;
    (upstream, proxy)
}

#[tokio::test]
async fn the_dashboards_cookie_stays_behind_and_every_other_byte_goes_on() {
    let (upstream, proxy) = proxy().await;
    for (came, went) in [
        ("Cookie: a=1; modash_session=s3cret; b=2\r\n", "Cookie: a=1; b=2\r\n"),
        ("X-A: 1\r\ncookie:modash_session=s3cret\r\nX-B:2\r\n", "X-A: 1\r\nX-B:2\r\n"),
        ("cOOkie: my_modash_session=1;  x=y\r\n", "cOOkie: my_modash_session=1;  x=y\r\n"),
        ("X-Cookie: modash_session=1\r\n", "X-Cookie: modash_session=1\r\n"),
    ] {
        let request =
            format!("GET /v1/models HTTP/1.1\r\nHost: here\r\n{came}Connection: close\r\n\r\n");
        let answer = proxy.exchange(&request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let received = upstream.next_request().await;
        let host = upstream.url().replace("http://", "");
        let head = String::from_utf8(received.raw_head.to_vec()).unwrap();
        let head = head.trim_end_matches("\r\n");
        let lines = head.split_once(&format!("Host: {host}\r\n")).unwrap().1;
        assert_eq!(format!("{lines}\r\n"), went, "{came:?}");
    }
}

#[tokio::test]
async fn it_stays_behind_over_http2_too_where_cookies_come_one_by_one() {
    let (upstream, proxy) = proxy().await;
    let mut client = Frames::open(proxy.address, &[]).await;
    let cookies = [("cookie", "a=1"), ("cookie", "modash_session=s3cret"), ("cookie", "b=2")];
    let head = request("GET", "/v1/models", &cookies);
    client.add(HEADERS, END_HEADERS | END_STREAM, 1, &head).send().await;
    assert_eq!(client.body(1).await, "{}");
    assert_eq!(upstream.next_request().await.headers["cookie"], "a=1; b=2");
}

#[tokio::test]
async fn the_gateway_behind_the_proxys_port_gets_it() {
    let gateway = FakeUpstream::start().await;
    gateway.answer_always(Answer::json("{}"));
    let url = gateway.url();
    let proxy = TestProxy::start_with(|config| {
        config.upstream = Some(url.parse().unwrap());
        config.gateway = Some(url.parse().unwrap());
    })
    .await;
    let request = "GET /events HTTP/1.1\r\nHost: here\r\nCookie: modash_session=s\r\n\
                   Connection: close\r\n\r\n";
    assert!(proxy.exchange(request).await.starts_with("HTTP/1.1 200"));
    assert_eq!(gateway.next_request().await.headers["cookie"], "modash_session=s");
}
