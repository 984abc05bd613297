//! Saved views and marks: what admins write and readers list.

use modash_access::Role;
use modash_proto::v1::{
    AddMarkRequest, DeleteMarkRequest, DeleteViewRequest, ListMarksRequest, ListViewsRequest, Mark,
    SaveViewRequest, SavedView, TimeRange, analytics_service_client::AnalyticsServiceClient,
};
use modash_test_support::TokensFile;
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    access::{guarded, reader},
    harness::{TestAnalytics, range, violated},
};

type Client = AnalyticsServiceClient<Channel>;

async fn save(client: &mut Client, name: &str, path: &str) -> Result<SavedView, tonic::Status> {
    let request = SaveViewRequest { name: name.into(), path: path.into() };
    Ok(client.save_view(request).await?.into_inner().view.unwrap())
}

async fn views(client: &mut Client) -> Vec<SavedView> {
    client.list_views(ListViewsRequest {}).await.unwrap().into_inner().views
}

async fn marks(client: &mut Client, range: Option<TimeRange>) -> Vec<Mark> {
    client.list_marks(ListMarksRequest { range }).await.unwrap().into_inner().marks
}

#[tokio::test]
async fn a_view_is_saved_replaced_by_its_name_and_deleted() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    assert_eq!(views(&mut client).await, []);
    let errors = save(&mut client, "errors", "/requests?status=error").await.unwrap();
    let all = save(&mut client, "all", "/").await.unwrap();
    assert_eq!(views(&mut client).await, [all.clone(), errors]);
    let errors = save(&mut client, "errors", "/requests?not.status=ok").await.unwrap();
    assert_eq!(views(&mut client).await, [all.clone(), errors]);
    for _ in 0..2 {
        client.delete_view(DeleteViewRequest { name: "errors".into() }).await.unwrap();
        assert_eq!(views(&mut client).await, std::slice::from_ref(&all));
    }
}

#[tokio::test]
async fn what_no_page_could_show_or_follow_is_refused() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let long = "x".repeat(4_001);
    for (name, path, field) in [
        ("", "/", "name"),
        ("a\nb", "/", "name"),
        (&long[..81], "/", "name"),
        ("a", "https://evil.example/", "path"),
        ("a", "//evil.example/", "path"),
        ("a", &long, "path"),
    ] {
        let status = save(&mut client, name, path).await.unwrap_err();
        assert_eq!(violated(&status), [field], "{name:?} {path:?}");
    }
    for (text, link, field) in [
        ("", "", "text"),
        (&long[..201], "", "text"),
        ("a", "javascript:alert(1)", "link"),
        ("a", &format!("https://{}", &long[..500]), "link"),
    ] {
        let request = AddMarkRequest { text: text.into(), link: link.into(), ..Default::default() };
        let status = client.add_mark(request).await.unwrap_err();
        assert_eq!(violated(&status), [field], "{text:?} {link:?}");
    }
    let status = client.delete_mark(DeleteMarkRequest { mark_id: "x".into() }).await.unwrap_err();
    assert_eq!(violated(&status), ["mark_id"]);
    assert_eq!((views(&mut client).await.len(), marks(&mut client, None).await.len()), (0, 0));
}

#[tokio::test]
async fn more_than_a_hundred_views_are_refused_until_one_is_deleted() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    for number in 0..100 {
        save(&mut client, &format!("view {number}"), "/").await.unwrap();
    }
    let status = save(&mut client, "one more", "/").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.get_details_error_info().unwrap().reason, "TOO_MANY_KEPT");
    save(&mut client, "view 7", "/models").await.unwrap();
    client.delete_view(DeleteViewRequest { name: "view 7".into() }).await.unwrap();
    save(&mut client, "one more", "/").await.unwrap();
}

#[tokio::test]
async fn a_mark_is_in_the_ranges_that_hold_it_until_it_is_deleted() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let day = range("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z").unwrap();
    let mut add = async |text: &str, marked_at, link: &str| {
        let request = AddMarkRequest { text: text.into(), marked_at, link: link.into() };
        client.add_mark(request).await.unwrap().into_inner().mark.unwrap()
    };
    let after = add("after", day.end, "").await;
    let first = add("v2", day.start, "https://ci.example/2").await;
    let now = add("now", None, "").await;
    assert_eq!(first.link, "https://ci.example/2");
    assert_eq!(marks(&mut client, Some(day)).await, std::slice::from_ref(&first));
    assert_eq!(marks(&mut client, None).await, [now]);
    let longer = TimeRange { start: day.start, end: None };
    assert_eq!(marks(&mut client, Some(longer)).await[..2], [first.clone(), after]);
    for _ in 0..2 {
        client.delete_mark(DeleteMarkRequest { mark_id: first.mark_id.clone() }).await.unwrap();
        assert_eq!(marks(&mut client, Some(day)).await, []);
    }
}

#[tokio::test]
async fn the_newest_thousand_marks_are_kept() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let day = range("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z").unwrap();
    for number in 0..1_001 {
        // The second one is the oldest moment, and not the oldest mark.
        let marked_at = if number == 1 { day.start } else { None };
        let request = AddMarkRequest { text: format!("{number}"), marked_at, link: String::new() };
        client.add_mark(request).await.unwrap();
    }
    let newest = marks(&mut client, None).await;
    assert_eq!((newest.len(), newest[199].text.as_str()), (200, "1000"));
    assert_eq!(marks(&mut client, Some(day)).await.len(), 1);
    let count = sqlx::query_scalar("SELECT count(*) FROM marks");
    let kept: i64 = count.fetch_one(&mut analytics.connection().await).await.unwrap();
    assert_eq!(kept, 1_000);
}

#[tokio::test]
async fn readers_list_and_admins_write() {
    let open = TestAnalytics::start().await;
    save(&mut open.client().await, "errors", "/requests?status=error").await.unwrap();
    let file = TokensFile::new();
    let (read, admin) = (file.add("read", Role::Read), file.add("admin", Role::Admin));
    let scoped = file.add_scoped("scoped", &["model:m"]);
    let guarded = guarded(&open, file.access()).await;
    for (token, listed) in [(&read, 1), (&admin, 1), (&scoped, 0)] {
        let mut client = reader(&guarded, Some(token)).await;
        let found = client.list_views(ListViewsRequest {}).await.unwrap().into_inner().views;
        assert_eq!(found.len(), listed, "a view may name what a scope hides");
        client.list_marks(ListMarksRequest::default()).await.unwrap();
    }
    let mark = || AddMarkRequest { text: "v2".into(), ..Default::default() };
    for token in [&read, &scoped] {
        let mut client = reader(&guarded, Some(token)).await;
        let denied = client.add_mark(mark()).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
        let view = SaveViewRequest { name: "a".into(), path: "/".into() };
        assert_eq!(client.save_view(view).await.unwrap_err().code(), Code::PermissionDenied);
    }
    reader(&guarded, Some(&admin)).await.add_mark(mark()).await.unwrap();
}
