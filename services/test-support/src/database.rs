//! A fresh database for each test, all on one private PostgreSQL for each test
//! process, which its guard stops and removes when the process ends.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use modash_embedded_postgres::{Config, DATABASE, EmbeddedPostgres};
use tokio::sync::OnceCell;

/// Never dropped: the server ends by the end of the process.
static SERVER: OnceCell<EmbeddedPostgres> = OnceCell::const_new();

static NEXT: AtomicU32 = AtomicU32::new(1);

/// An empty database, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    server: &'static EmbeddedPostgres,
}

impl TestDatabase {
    /// Creates one; the first in a process also starts PostgreSQL (0.7 s).
    ///
    /// # Panics
    /// When PostgreSQL cannot be started, with what to do about it.
    pub async fn create() -> Self {
        let server = SERVER.get_or_init(start).await;
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let create = {
            let name = name.clone();
            move || server.create_database(&name)
        };
        let created = tokio::task::spawn_blocking(create).await;
        created.expect("creating a database panicked").unwrap_or_else(|error| panic!("{error}"));
        Self { name, server }
    }

    /// Where to connect: over the server's Unix socket.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url_of(&self.name)
    }

    /// Where to connect through a [`Relay`](crate::Relay) to
    /// [`TestDatabase::socket`].
    #[must_use]
    pub fn url_through(&self, relay: SocketAddr) -> String {
        format!("postgresql://{DATABASE}@{relay}/{}", self.name)
    }

    /// The server's Unix socket.
    #[must_use]
    pub fn socket(&self) -> std::path::PathBuf {
        self.server.socket()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // Cuts connections that the test has left open.
        if let Err(error) = self.server.drop_database(&self.name) {
            eprintln!("the test database {} was not dropped: {error}", self.name);
        }
    }
}

async fn start() -> EmbeddedPostgres {
    let place = tempfile::Builder::new().prefix("modash-test-").tempdir().unwrap_or_else(|error| {
        panic!("no temporary directory: {error}");
    });
    // The guard removes it, also after a kill.
    let config = Config::throwaway(place.keep());
    EmbeddedPostgres::start(config).await.unwrap_or_else(|error| panic!("{error}"))
}
