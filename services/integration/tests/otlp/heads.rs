//! An upstream that shows the head of the request that it got.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use modash_integration::PATIENCE;
use modash_test_support::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// It answers one request, or none.
pub(crate) struct Upstream {
    address: SocketAddr,
    head: Arc<Mutex<Option<String>>>,
}

impl Upstream {
    /// Answers one request.
    pub(crate) async fn start() -> Self {
        Self::start_with(true).await
    }

    /// Reads and never answers.
    pub(crate) async fn silent() -> Self {
        Self::start_with(false).await
    }

    async fn start_with(answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, head) = (listener.local_addr().unwrap(), Arc::default());
        let seen: Arc<Mutex<Option<String>>> = Arc::clone(&head);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut connection, _)) = listener.accept().await {
                if !answers {
                    held.push(connection);
                    continue;
                }
                let mut bytes = Vec::new();
                while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
                    connection.read_buf(&mut bytes).await.unwrap();
                }
                *seen.lock().unwrap() = Some(String::from_utf8_lossy(&bytes).into_owned());
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                connection.write_all(answer).await.unwrap();
            }
        });
        Self { address, head }
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The head, in which names are as they were sent.
    pub(crate) async fn head(&self) -> String {
        eventually(PATIENCE, || async {
            self.head.lock().unwrap().clone().ok_or("no request yet".to_owned())
        })
        .await
    }
}
