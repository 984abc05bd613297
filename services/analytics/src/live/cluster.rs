//! The live view of all replicas of analytics: each writes the requests that
//! its proxies report into a table without a log, and tells the others by NOTIFY
//! to read what changed. A replica that has no others writes nothing but its
//! sign of life.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use modash_proto::v1::{LiveRequest, RequestPhase};
use prost::Message as _;
use sqlx::postgres::PgListener;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::{Commits, Live};
use crate::{
    error::LimitedLog,
    store::{Error, PublishedRequest, Store},
};

/// Least time between two tellings.
const TELL_INTERVAL: Duration = Duration::from_millis(250);

/// Between two signs of life; a replica counts as gone after three of them.
const SIGN_INTERVAL: Duration = Duration::from_secs(5);

/// Between attempts when the database is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// This replica among the others.
#[derive(Debug)]
pub(crate) struct Cluster {
    store: Arc<Store>,
    live: Arc<Live>,
    instance: Uuid,
    /// Number of the next telling.
    version: i64,
    /// The newest telling of each other replica that was read.
    read: HashMap<Uuid, i64>,
    log: LimitedLog,
}

/// What replicas tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    /// A replica started, or was cut off for a while.
    Hello(Uuid),
    /// A replica wrote requests.
    Requests(Uuid),
    /// A replica committed.
    Commits(Uuid, Commits),
}

impl Notice {
    fn to_text(self) -> String {
        match self {
            Self::Hello(instance) => format!("hello {instance}"),
            Self::Requests(instance) => format!("requests {instance}"),
            Self::Commits(instance, commits) => {
                let oldest = commits.oldest_started_at.unwrap_or_default();
                format!("commits {instance} {} {oldest}", commits.requests)
            }
        }
    }

    /// `None`: a newer replica says something that this one does not know.
    fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let kind = words.next()?;
        let instance = Uuid::try_parse(words.next()?).ok()?;
        match kind {
            "hello" => Some(Self::Hello(instance)),
            "requests" => Some(Self::Requests(instance)),
            "commits" => {
                let requests = words.next()?.parse().ok()?;
                let oldest_started_at = Some(words.next()?.parse().ok()?);
                Some(Self::Commits(instance, Commits { requests, oldest_started_at }))
            }
            _ => None,
        }
    }
}

impl Cluster {
    pub(crate) fn new(store: Arc<Store>, live: Arc<Live>) -> Self {
        Self {
            store,
            live,
            instance: Uuid::new_v4(),
            version: 1,
            read: HashMap::new(),
            log: LimitedLog::default(),
        }
    }

    /// Takes part until the task ends; while the database is away, this replica
    /// shows what its own proxies report.
    pub(crate) async fn run(mut self) {
        self.store.prepared().await;
        loop {
            if let Err(error) = self.take_part().await {
                self.log.write(|held_back| {
                    tracing::warn!(
                        error = error.detail(),
                        held_back,
                        "cut off from the other replicas of analytics; trying again"
                    );
                });
            }
            // Whatever was told meanwhile is read anew.
            self.read.clear();
            self.live.publish(false);
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    async fn take_part(&mut self) -> Result<(), Error> {
        let mut listener = self.store.listen_to_replicas().await?;
        self.give_sign_of_life().await?;
        self.notify(Notice::Hello(self.instance)).await?;
        let mut signs = tokio::time::interval(SIGN_INTERVAL);
        let mut tellings = tokio::time::interval(TELL_INTERVAL);
        tellings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = HashSet::new();
        loop {
            tokio::select! {
                notice = next_notice(&mut listener) => match notice? {
                    None => {}
                    Some(Notice::Hello(peer)) if peer != self.instance => {
                        // It has nothing of ours: tell it all.
                        self.live.publish(true);
                        heard.insert(peer);
                    }
                    Some(Notice::Requests(peer)) if peer != self.instance => {
                        heard.insert(peer);
                    }
                    Some(Notice::Commits(peer, commits)) if peer != self.instance => {
                        self.live.committed_by_peer(commits);
                    }
                    Some(_) => {}
                },
                _ = tellings.tick() => {
                    for peer in heard.drain() {
                        self.read(peer).await?;
                    }
                    self.tell().await?;
                }
                _ = signs.tick() => {
                    // Also finds what a notice got lost of.
                    heard.extend(self.give_sign_of_life().await?);
                }
            }
        }
    }

    /// Says that this replica is alive, and gives the others that are.
    async fn give_sign_of_life(&mut self) -> Result<HashSet<Uuid>, Error> {
        let peers = self.store.meet_replicas(self.instance, 3 * SIGN_INTERVAL).await?;
        let peers: HashSet<Uuid> = peers.into_iter().collect();
        self.read.retain(|peer, _| peers.contains(peer));
        self.live.keep_peers(&peers);
        if peers.is_empty() == self.live.publishes() {
            self.live.publish(!peers.is_empty());
        }
        Ok(peers)
    }

    /// Writes what changed here, and says so.
    async fn tell(&mut self) -> Result<(), Error> {
        let (requests, commits) = self.live.take_outbox();
        if !requests.is_empty() {
            let mut requests: Vec<PublishedRequest> = requests
                .into_iter()
                .map(|(id, request)| PublishedRequest {
                    id,
                    has_ended: request.phase == i32::from(RequestPhase::Ended),
                    bytes: request.encode_to_vec(),
                })
                .collect();
            // Replicas that take rows in one order do not wait for each other in
            // circles.
            requests.sort_unstable_by_key(|request| request.id);
            self.store.publish_requests(self.instance, self.version, &requests).await?;
            self.version += 1;
            self.notify(Notice::Requests(self.instance)).await?;
        }
        if commits.requests > 0 {
            self.notify(Notice::Commits(self.instance, commits)).await?;
        }
        Ok(())
    }

    /// Reads what another replica wrote since the last time.
    async fn read(&mut self, peer: Uuid) -> Result<(), Error> {
        let newest = self.read.entry(peer).or_default();
        let mut requests = Vec::new();
        for (id, version, bytes) in self.store.read_requests(peer, *newest).await? {
            *newest = version.max(*newest);
            // What a newer replica writes in another form is not shown.
            if let Ok(request) = LiveRequest::decode(bytes.as_slice()) {
                requests.push((id, request));
            }
        }
        self.live.update_from_peer(peer, requests);
        Ok(())
    }

    async fn notify(&self, notice: Notice) -> Result<(), Error> {
        self.store.notify_replicas(&notice.to_text()).await
    }
}

/// The next notice that this version knows.
async fn next_notice(listener: &mut PgListener) -> Result<Option<Notice>, Error> {
    // None: the connection was lost, and notices with it.
    match listener.try_recv().await? {
        Some(notification) => Ok(Notice::from_text(notification.payload())),
        None => Err(Error::Unreachable(sqlx::Error::PoolClosed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_survives_its_text_and_an_unknown_one_is_none() {
        let instance = Uuid::new_v4();
        let commits = Commits { requests: 7, oldest_started_at: Some(-1) };
        for notice in [
            Notice::Hello(instance),
            Notice::Requests(instance),
            Notice::Commits(instance, commits),
        ] {
            assert_eq!(Notice::from_text(&notice.to_text()), Some(notice));
        }
        for text in ["", "hello", "hello x", "later 00000000-0000-0000-0000-000000000000"] {
            assert_eq!(Notice::from_text(text), None, "{text}");
        }
    }
}
