//! Names of client keys, users and values of tags.

use modash_access::Role;
use modash_proto::v1::{
    GivenName, ListNamesRequest, NamedKind, SetNameRequest,
    analytics_service_client::AnalyticsServiceClient,
};
use modash_test_support::{TestDatabase, TokensFile};
use tonic::{Code, transport::Channel};

use crate::{
    access::{guarded, reader},
    data::{fails, succeeds},
    harness::{TestAnalytics, violated},
};

type Client = AnalyticsServiceClient<Channel>;

fn named(kind: NamedKind, id: &str, name: &str) -> GivenName {
    GivenName { kind: kind.into(), id: id.into(), name: name.into() }
}

async fn set(client: &mut Client, given: GivenName) -> Result<(), tonic::Status> {
    let GivenName { kind, id, name } = given;
    client.set_name(SetNameRequest { kind, id, name }).await.map(|_| ())
}

async fn names(client: &mut Client) -> Vec<GivenName> {
    client.list_names(ListNamesRequest {}).await.unwrap().into_inner().names
}

#[tokio::test]
async fn a_name_is_given_changed_and_taken_away() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let key = named(NamedKind::ClientKey, "00112233aabbccdd", "CI of the search team");
    let user = named(NamedKind::User, "u-17", "Ada");
    for given in [&user, &key] {
        set(&mut client, given.clone()).await.unwrap();
    }
    assert_eq!(names(&mut client).await, [key.clone(), user]);
    let other = named(NamedKind::User, "u-17", "Ada L.");
    set(&mut client, other.clone()).await.unwrap();
    assert_eq!(names(&mut client).await, [key.clone(), other]);
    for _ in 0..2 {
        set(&mut client, named(NamedKind::User, "u-17", "")).await.unwrap();
    }
    assert_eq!(names(&mut client).await, [key]);
}

#[tokio::test]
async fn what_is_no_name_is_refused() {
    let analytics = TestAnalytics::start().await;
    let mut client = analytics.client().await;
    let long = "x".repeat(257);
    for (given, field) in [
        (named(NamedKind::Unspecified, "a", "b"), "kind"),
        (named(NamedKind::User, "", "b"), "id"),
        (named(NamedKind::User, &long, "b"), "id"),
        (named(NamedKind::Tag, "team", "b"), "id"),
        (named(NamedKind::User, "a", &long[..81]), "name"),
        (named(NamedKind::User, "a", "b\nc"), "name"),
    ] {
        let status = set(&mut client, given.clone()).await.unwrap_err();
        assert_eq!(violated(&status), [field], "{given:?}");
    }
}

#[tokio::test]
async fn names_are_given_by_the_command_too() {
    let database = TestDatabase::create().await;
    assert!(fails(&database, 1, &["names", "list"]).await.contains("no tables"));
    succeeds(&database, &["migrate"]).await;
    succeeds(&database, &["names", "set", "tag", "team=search", "Search"]).await;
    let listed = succeeds(&database, &["names", "list"]).await;
    assert!(listed.contains("tag   team=search  Search"), "{listed}");
    let refused = fails(&database, 1, &["names", "set", "tag", "search", "Search"]).await;
    assert!(refused.contains("id: must be the name of the tag"), "{refused}");
    succeeds(&database, &["names", "delete", "tag", "team=search"]).await;
    assert!(succeeds(&database, &["names", "list"]).await.starts_with("Nothing has a name"));
}

#[tokio::test]
async fn only_admins_give_names_and_a_scope_shows_its_own() {
    let file = TokensFile::new();
    let (team, admin) =
        (file.add_scoped("team", &["tag:team=search"]), file.add("admin", Role::Admin));
    let open = TestAnalytics::start().await;
    let guarded = guarded(&open, file.access()).await;
    let mut admin = reader(&guarded, Some(&admin)).await;
    let mut team = reader(&guarded, Some(&team)).await;
    let own = named(NamedKind::Tag, "team=search", "Search");
    let other = named(NamedKind::Tag, "team=ads", "Ads");
    let user = named(NamedKind::User, "u-17", "Ada");
    for given in [&own, &other, &user] {
        admin
            .set_name(SetNameRequest {
                kind: given.kind,
                id: given.id.clone(),
                name: given.name.clone(),
            })
            .await
            .unwrap();
    }
    let seen = team.list_names(ListNamesRequest {}).await.unwrap().into_inner().names;
    assert_eq!(seen, [own]);
    let refused = SetNameRequest { kind: 2, id: "u-17".into(), name: "Eve".into() };
    assert_eq!(team.set_name(refused).await.unwrap_err().code(), Code::PermissionDenied);
}
