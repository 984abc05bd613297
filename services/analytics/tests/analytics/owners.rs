//! While a stream of a replica is open, it belongs to its token: another token of the role
//! ingest does not make up its account, and rotation goes on working.

use modash_access::{Role, Token};
use modash_proto::v1::{
    CompletenessRequest, EventBatch, Hello, ReplicaStats, StreamUsageRequest, StreamUsageResponse,
    stream_usage_request::Message as Up,
};
use modash_test_support::{TokensFile, event, eventually};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::{
    access::{guarded, proxy},
    harness::{PATIENCE, TestAnalytics},
};

const REPLICA: &str = "proxy-1";

/// A stream of a proxy with a token.
struct Stream {
    up: mpsc::Sender<StreamUsageRequest>,
    down: Streaming<StreamUsageResponse>,
}

impl Stream {
    async fn open(analytics: &TestAnalytics, token: &Token) -> Self {
        let (up, requests) = mpsc::channel(16);
        let mut client = proxy(analytics, Some(token)).await;
        let down = client.stream_usage(ReceiverStream::new(requests)).await.unwrap().into_inner();
        let stream = Self { up, down };
        let replica_id = REPLICA.to_owned();
        stream.say(Up::Hello(Hello { replica_id, next_sequence: 1, ..Hello::default() })).await;
        stream
    }

    async fn say(&self, message: Up) {
        // It may have been refused already.
        let _ = self.up.send(StreamUsageRequest { message: Some(message) }).await;
    }

    /// Sends an event; whether it is taken, or why not.
    async fn taken(&mut self) -> Result<(), Status> {
        let event = modash_proto::v1::UsageEvent { replica_id: REPLICA.into(), ..event() };
        let events = vec![event];
        self.say(Up::Batch(EventBatch { first_sequence: 1, events, ..Default::default() })).await;
        let answer = tokio::time::timeout(PATIENCE, self.down.message()).await.unwrap()?;
        assert!(answer.is_some(), "the stream ended without a reason");
        Ok(())
    }
}

async fn is_taken(analytics: &TestAnalytics, token: &Token) -> Result<(), Status> {
    Stream::open(analytics, token).await.taken().await
}

fn assert_refused(answer: Result<(), Status>) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "REPLICA_OF_ANOTHER_TOKEN");
    assert!(status.message().contains("belongs to the token first"), "{status:?}");
    assert!(status.message().contains("--replaces first"), "{status:?}");
}

/// What `Completeness` says that the replica dropped.
async fn dropped(analytics: &TestAnalytics) -> Option<u64> {
    let answer = analytics.client().await.completeness(CompletenessRequest {}).await.unwrap();
    let account = answer.into_inner().replicas.into_iter().find(|a| a.replica_id == REPLICA)?;
    Some(account.reported?.dropped + account.dropped_before)
}

#[tokio::test]
async fn another_token_does_not_speak_for_a_replica_that_is_there() {
    let (open, file) = (TestAnalytics::start().await, TokensFile::new());
    let [first, second] = ["first", "second"].map(|name| file.add(name, Role::Ingest));
    // Two replicas of analytics, one database.
    let (one, two) = (guarded(&open, file.access()).await, guarded(&open, file.access()).await);
    let mut own = Stream::open(&one, &first).await;
    own.taken().await.unwrap();
    own.say(Up::Stats(ReplicaStats { dropped: 1, ..Default::default() })).await;
    eventually(PATIENCE, || async { dropped(&open).await == Some(1) }).await;
    for analytics in [&one, &two] {
        let mut forged = Stream::open(analytics, &second).await;
        forged.say(Up::Stats(ReplicaStats { dropped: 99, ..Default::default() })).await;
        assert_refused(forged.taken().await);
    }
    // As after kill -9 and before that is noticed: the same token again, at both.
    let again = [is_taken(&one, &first).await, is_taken(&two, &first).await];
    assert!(again.iter().all(Result::is_ok), "{again:?}");
    assert_eq!(dropped(&open).await, Some(1), "nobody made up its account");
    // A rotation: the proxy comes back with another token, both of which are good.
    drop(own);
    eventually(PATIENCE, || async {
        is_taken(&two, &second).await.map_err(|status| status.to_string())
    })
    .await;
    // Without tokens there are no owners, as ever.
    let mut old = crate::harness::TestProxy::connect(&open, REPLICA).await;
    let last = old.send(vec![event()]).await;
    assert_eq!(old.acknowledged(last).await, []);
}

#[tokio::test]
async fn a_token_takes_over_that_is_bound_to_the_replica_or_made_to_replace_its_owner() {
    for bound in [true, false] {
        let (open, file) = (TestAnalytics::start().await, TokensFile::new());
        let first = file.add("first", Role::Ingest);
        let second = file.add_with("second", Role::Ingest, |grant| match bound {
            true => grant.replicas = vec![REPLICA.to_owned()],
            false => grant.replaces = Some("first".to_owned()),
        });
        let third = file.add("third", Role::Ingest);
        let analytics = guarded(&open, file.access()).await;
        // The first still has its stream when the second comes.
        let mut open_stream = Stream::open(&analytics, &first).await;
        open_stream.taken().await.unwrap();
        let mut second = Stream::open(&analytics, &second).await;
        second.taken().await.unwrap();
        let status = is_taken(&analytics, &third).await.unwrap_err();
        assert!(status.message().contains("belongs to the token second"), "{status:?}");
    }
}

#[tokio::test]
async fn a_token_that_was_revoked_owns_nothing_any_more() {
    let (open, file) = (TestAnalytics::start().await, TokensFile::new());
    let [first, second] = ["first", "second"].map(|name| file.add(name, Role::Ingest));
    let analytics = guarded(&open, file.access()).await;
    let mut own = Stream::open(&analytics, &first).await;
    own.taken().await.unwrap();
    assert_refused(is_taken(&analytics, &second).await);
    file.revoke("first");
    // The file is read again within a second; a proxy tries again until it is let in.
    eventually(PATIENCE, || async {
        is_taken(&analytics, &second).await.map_err(|status| status.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_replica_whose_analytics_was_killed_is_free_after_a_silence() {
    let (open, file) = (TestAnalytics::start().await, TokensFile::new());
    let second = file.add("second", Role::Ingest);
    file.add("first", Role::Ingest);
    let claimed = "INSERT INTO replica_owners (replica_id, token, stream, spoke_at)
                   VALUES ($1, 'first', gen_random_uuid(), now() - $2 * interval '1 second')";
    for (seconds, free) in [(0, false), (60, true)] {
        let mut connection = open.connection().await;
        sqlx::query("DELETE FROM replica_owners").execute(&mut connection).await.unwrap();
        let query = sqlx::query(claimed).bind(REPLICA).bind(seconds);
        query.execute(&mut connection).await.unwrap();
        let analytics = guarded(&open, file.access()).await;
        assert_eq!(is_taken(&analytics, &second).await.is_ok(), free, "after {seconds} s");
    }
}
