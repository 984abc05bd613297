//! The commands about prices, as somebody types them.

use std::path::{Path, PathBuf};

use modash_proto::v1::UsageSummaryRequest;
use modash_test_support::{TestDatabase, event};
use sqlx::{Connection as _, PgConnection};

use crate::{
    data::{fails, generate, rows, succeeds},
    harness::TestAnalytics,
    sums::{of_requests, of_rollups},
};

/// A price for one model of the made-up requests and one for a model that nobody uses.
const OWN: &str = "[[price]]\nprovider = \"openai\"\nmodel = \"gpt-4.1-mini\"\nprompt = 7\n\
                   cached_prompt = 7\ncompletion = 7\n\
                   [[price]]\nupstream = \"local\"\nmodel = \"unheard-of\"\nprompt = 1\n\
                   completion = 1\n";

fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Sums of costs by model.
const COSTS: &str = "SELECT format('%s %s %s', coalesce(s.model, ''), sum(r.cost_nano_usd),
                                   count(DISTINCT k.price_version))
                     FROM requests r JOIN series s USING (series_id) JOIN kinds k USING (kind_id)
                     GROUP BY s.model ORDER BY 1";

#[tokio::test]
async fn prices_are_applied_to_stored_requests_and_their_sums_follow() {
    let database = TestDatabase::create().await;
    generate(&database, &["--seed=3"]).await;
    let before = rows(&database, COSTS).await;
    let directory = tempfile::tempdir().unwrap();
    let own = file(directory.path(), "prices.toml", OWN).display().to_string();
    let apply = ["prices", "apply", "--from=2000-01-01", "--to=2100-01-01", "--prices-file", &own];
    let said = succeeds(&database, &apply).await;
    assert!(!said.starts_with("0 of ") && said.contains(" of 3,000 requests"), "{said}");
    let after = rows(&database, COSTS).await;
    assert_ne!(before, after);
    let others = |costs: &[String]| {
        let mut others = costs.to_vec();
        others.retain(|line| !line.starts_with("gpt-4.1-mini "));
        others
    };
    assert_eq!(others(&before), others(&after), "other models cost what they did");
    let billed: Vec<String> = rows(
        &database,
        "SELECT r.event_id::text FROM requests r JOIN series s USING (series_id)
         WHERE s.model = 'gpt-4.1-mini' AND r.cost_source = 2
           AND r.cost_nano_usd <> 7000 * (r.prompt_tokens + r.completion_tokens)",
    )
    .await;
    assert_eq!(billed, [""; 0]);
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    for width in [3_600, 86_400] {
        let (mut found, expected) =
            (of_rollups(&mut connection, width).await, of_requests(&mut connection, width).await);
        found.values_mut().for_each(|line| line[2] = 0);
        found.retain(|_, line| line[0] > 0);
        assert!(found == expected, "the rollups of {width} are not the sums of the requests");
    }
    let sessions = rows(
        &database,
        "SELECT session FROM sessions s WHERE series_id = 0 AND cost_nano_usd <> (
             SELECT coalesce(sum(cost_nano_usd), 0) FROM requests r WHERE r.session = s.session)",
    )
    .await;
    assert_eq!(sessions, [""; 0]);
    assert_eq!(succeeds(&database, &apply).await, "0 of 3,000 requests have a new cost.\n");
}

#[tokio::test]
async fn prices_are_applied_while_requests_arrive() {
    let analytics = TestAnalytics::start().await;
    let url = analytics.database.url();
    let price = |dollars: u32| {
        format!(
            "[[price]]\nupstream = \"default\"\nmodel = \"qwen3-8b\"\nprompt = {dollars}\ncached_prompt = {dollars}\ncompletion = {dollars}\n"
        )
    };
    let directory = tempfile::tempdir().unwrap();
    let own = file(directory.path(), "prices.toml", &price(3)).display().to_string();
    let batch = || (0..200).map(|_| event()).collect::<Vec<_>>();
    for _ in 0..5 {
        analytics.store(batch()).await;
    }
    let arriving = async {
        for _ in 0..20 {
            analytics.store(batch()).await;
        }
    };
    let apply = ["prices", "apply", "--from=2000-01-01", "--to=2100-01-01", "--prices-file", &own];
    let (_, said) = tokio::join!(arriving, succeeds(&analytics.database, &apply));
    assert!(!said.starts_with("0 of"), "{said}");
    // What came after it was read has the cost of before, and is priced by the next one.
    succeeds(&analytics.database, &apply).await;
    let summary = analytics.client().await.usage_summary(UsageSummaryRequest::default()).await;
    let cost = summary.unwrap().into_inner().cost.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (sum, count): (i64, i64) = sqlx::query_as(
        "SELECT sum(3000 * (prompt_tokens + completion_tokens))::bigint, count(cost_nano_usd)
         FROM requests",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!((cost.nano_usd.cast_signed(), cost.known_requests.cast_signed()), (sum, count));
    assert_eq!(count, 5_000);
}

#[tokio::test]
async fn requests_with_newer_prices_keep_their_cost() {
    let database = TestDatabase::create().await;
    generate(&database, &["--seed=4"]).await;
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::query("UPDATE kinds SET price_version = '2999-01-01.1' WHERE price_version IS NOT NULL")
        .execute(&mut connection)
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let own = file(directory.path(), "prices.toml", OWN).display().to_string();
    let apply = ["prices", "apply", "--from=2000-01-01", "--to=2100-01-01", "--prices-file", &own];
    assert_eq!(succeeds(&database, &apply).await, "0 of 3,000 requests have a new cost.\n");
}

#[tokio::test]
async fn a_check_names_the_models_without_a_price_and_the_prices_of_nothing() {
    let database = TestDatabase::create().await;
    generate(&database, &["--seed=5"]).await;
    let directory = tempfile::tempdir().unwrap();
    let own = file(directory.path(), "prices.toml", OWN).display().to_string();
    let said = succeeds(&database, &["prices", "check", "--prices-file", &own]).await;
    let (lacking, unused) = said.split_once("match nothing: 1\n").unwrap();
    assert!(lacking.contains("qwen3-8b") && !lacking.contains("gpt-4.1-mini"), "{said}");
    assert!(unused.contains("unheard-of") && unused.contains("prices.toml:7"), "{said}");
}

#[tokio::test]
async fn prices_are_shown_and_imported_without_a_database() {
    let database = TestDatabase::create().await;
    let shown = succeeds(&database, &["prices", "show", "claude-sonnet-4-5"]).await;
    assert!(
        shown.contains("provider = \"anthropic\"") && shown.contains("prompt = 3\n"),
        "{shown}"
    );
    let problem = fails(&database, 1, &["prices", "show", "unheard-of"]).await;
    assert!(problem.contains("docs/prices.md"), "{problem}");
    let directory = tempfile::tempdir().unwrap();
    let json = file(
        directory.path(),
        "litellm.json",
        r#"{ "mine": { "litellm_provider": "openai", "mode": "chat",
                       "input_cost_per_token": 0.000003, "output_cost_per_token": 0.000015 } }"#,
    );
    let json = json.display().to_string();
    let imported = succeeds(&database, &["prices", "import", &json]).await;
    let own = file(directory.path(), "prices.toml", &imported).display().to_string();
    let shown = succeeds(&database, &["prices", "show", "mine", "--prices-file", &own]).await;
    assert!(shown.contains("completion = 15\n"), "{shown}");
    let missing = fails(&database, 1, &["prices", "import", "/nowhere.json"]).await;
    assert!(missing.contains("cannot read /nowhere.json"), "{missing}");
}
