//! Every method over every door for every kind of caller. The methods are those of the
//! contract: a new one needs a row here.

use std::collections::BTreeMap;

use modash_access::{Role, Token};
use modash_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{self, group_by::By},
};
use modash_test_support::TokensFile;
use prost::Message as _;
use serde_json::{Value, json};

use crate::{
    doors::{Answer, Door, Question, ask},
    system::System,
};

/// What a method is, and what it is asked with.
struct Row {
    needs: Role,
    streams: bool,
    /// Whether a token with a scope gets an answer.
    scoped: bool,
    message: Vec<u8>,
    json: Value,
}

/// Of a mark that is not there.
const ID: &str = "019acd3e-0000-7000-8000-000000000000";

fn rows() -> BTreeMap<&'static str, Row> {
    let unary = |message: Vec<u8>, json| Row {
        needs: Role::Read,
        streams: false,
        scoped: true,
        message,
        json,
    };
    let empty = || unary(Vec::new(), json!({}));
    let page = v1::RecentRequestsRequest { page: 1, page_size: 1, ..Default::default() };
    let page = unary(page.encode_to_vec(), json!({ "page": 1, "pageSize": 1 }));
    let by_user = v1::GroupBy { by: Some(By::Dimension(v1::Dimension::User.into())) };
    let by_user = v1::BreakdownRequest { group_by: Some(by_user), ..Default::default() };
    let by_user =
        unary(by_user.encode_to_vec(), json!({ "groupBy": { "dimension": "DIMENSION_USER" } }));
    let admin = |message, json| Row { needs: Role::Admin, ..unary(message, json) };
    let view = v1::SaveViewRequest { name: "a".into(), path: "/".into() };
    let name = v1::DeleteViewRequest { name: "a".into() };
    let mark = v1::AddMarkRequest { text: "a".into(), ..Default::default() };
    let id = v1::DeleteMarkRequest { mark_id: ID.into() };
    let kind = v1::NamedKind::User.into();
    let name_of = v1::SetNameRequest { kind, id: "a".into(), name: "b".into() };
    let budget = v1::SaveBudgetRequest {
        name: "a".into(),
        period: Some(v1::save_budget_request::Period::Calendar(v1::CalendarPeriod::Day.into())),
        amount: Some(v1::save_budget_request::Amount::Tokens(1)),
        ..Default::default()
    };
    let budget_id = v1::DeleteBudgetRequest { budget_id: ID.into() };
    let session = v1::SessionRequest { session: "a".into(), ..Default::default() };
    BTreeMap::from([
        ("AnalyticsService/UsageSummary", empty()),
        ("AnalyticsService/UsageTimeseries", empty()),
        ("AnalyticsService/ThroughputTimeseries", empty()),
        ("AnalyticsService/ModelBreakdown", empty()),
        ("AnalyticsService/Breakdown", by_user),
        ("AnalyticsService/Sessions", empty()),
        ("AnalyticsService/Session", unary(session.encode_to_vec(), json!({ "session": "a" }))),
        ("AnalyticsService/RecentRequests", page),
        // It counts the requests of all.
        ("AnalyticsService/Completeness", Row { scoped: false, ..empty() }),
        ("AnalyticsService/ErrorBreakdown", empty()),
        ("AnalyticsService/RateLimits", empty()),
        ("AnalyticsService/ListViews", empty()),
        ("AnalyticsService/ListNames", empty()),
        (
            "AnalyticsService/SetName",
            admin(
                name_of.encode_to_vec(),
                json!({ "kind": "NAMED_KIND_USER", "id": "a", "name": "b" }),
            ),
        ),
        (
            "AnalyticsService/SaveView",
            admin(view.encode_to_vec(), json!({ "name": "a", "path": "/" })),
        ),
        ("AnalyticsService/DeleteView", admin(name.encode_to_vec(), json!({ "name": "a" }))),
        ("AnalyticsService/ListBudgets", empty()),
        (
            "AnalyticsService/SaveBudget",
            admin(
                budget.encode_to_vec(),
                json!({ "name": "a", "calendar": "CALENDAR_PERIOD_DAY", "tokens": 1 }),
            ),
        ),
        (
            "AnalyticsService/DeleteBudget",
            admin(budget_id.encode_to_vec(), json!({ "budgetId": ID })),
        ),
        ("AnalyticsService/ListMarks", empty()),
        ("AnalyticsService/AddMark", admin(mark.encode_to_vec(), json!({ "text": "a" }))),
        ("AnalyticsService/DeleteMark", admin(id.encode_to_vec(), json!({ "markId": ID }))),
        ("AnalyticsService/Subscribe", Row { streams: true, ..empty() }),
        ("IngestService/StreamUsage", Row { needs: Role::Ingest, streams: true, ..empty() }),
    ])
}

/// The methods of the contract, as `Service/Method`.
fn methods() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let services = set.file.iter().filter(|file| file.package() == "modash.v1");
    services
        .flat_map(|file| &file.service)
        .flat_map(|service| {
            service.method.iter().map(|method| format!("{}/{}", service.name(), method.name()))
        })
        .collect()
}

/// What is documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Answered,
    Unauthenticated,
    Denied,
    NotOffered,
}

fn expected(door: Door, method: &str, row: &Row, role: Option<Role>, has_scope: bool) -> Expected {
    let is_ingest = row.needs == Role::Ingest;
    let at_gateway = !matches!(door, Door::Grpc | Door::GrpcWeb);
    // Pages may not send events, whoever they are: that is said before tokens.
    if is_ingest && door == Door::GrpcWeb {
        return Expected::NotOffered;
    }
    let Some(role) = role else { return Expected::Unauthenticated };
    // The gateway is for readers.
    let needed = if at_gateway && is_ingest { Role::Read } else { row.needs };
    if !role.covers(needed) {
        return Expected::Denied;
    }
    let offered = match door {
        Door::Grpc | Door::GrpcWeb => true,
        Door::GrpcWebThroughGateway => !is_ingest,
        Door::Json | Door::EffectV3 | Door::EffectV4 => !row.streams,
        Door::Events => method == "AnalyticsService/Subscribe",
    };
    match (offered, has_scope && !row.scoped) {
        (false, _) => Expected::NotOffered,
        (true, true) => Expected::Denied,
        (true, false) => Expected::Answered,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_over_every_door_gives_each_caller_the_documented_answer() {
    let rows = rows();
    let methods = methods();
    let listed: Vec<_> = rows.keys().map(|method| (*method).to_owned()).collect();
    let mut found = methods.clone();
    found.sort();
    assert_eq!(listed, found, "a method came or went: give it a row in this test");

    let file = TokensFile::new();
    let callers: Vec<(&str, Option<Token>, Option<Role>, bool)> = vec![
        ("none", None, None, false),
        ("wrong", Some(Token::generate()), None, false),
        ("expired", Some(file.add_expired("expired", Role::Admin)), None, false),
        ("revoked", Some(file.add("revoked", Role::Admin)), None, false),
        ("read", Some(file.add("read", Role::Read)), Some(Role::Read), false),
        ("ingest", Some(file.add("ingest", Role::Ingest)), Some(Role::Ingest), false),
        ("use", Some(file.add("use", Role::Use)), Some(Role::Use), false),
        ("admin", Some(file.add("admin", Role::Admin)), Some(Role::Admin), false),
        ("scoped", Some(file.add_scoped("scoped", &["model:m"])), Some(Role::Read), true),
    ];
    file.revoke("revoked");
    let system = System::start(file, &[]).await;
    let mut wrong = Vec::new();
    for method in &methods {
        let row = &rows[method.as_str()];
        let (service, name) = method.split_once('/').unwrap();
        let question = Question {
            method: name.to_owned(),
            service: format!("modash.v1.{service}"),
            message: row.message.clone(),
            json: row.json.clone(),
        };
        for door in Door::ALL {
            // There is one path for events, which is the form of one method.
            if door == Door::Events && method != "AnalyticsService/Subscribe" {
                continue;
            }
            for (caller, token, role, has_scope) in &callers {
                let answer = ask(&system, door, &question, token.as_ref()).await;
                let got = match &answer {
                    Answer::Message(_) | Answer::Value(_) | Answer::Stream => {
                        Some(Expected::Answered)
                    }
                    Answer::Unauthenticated => Some(Expected::Unauthenticated),
                    Answer::Denied => Some(Expected::Denied),
                    Answer::NotOffered => Some(Expected::NotOffered),
                    Answer::Other(_) => None,
                };
                let expected = expected(door, method, row, *role, *has_scope);
                if got != Some(expected) {
                    wrong.push(format!("{method} {door:?} {caller}: {answer:?}, not {expected:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
