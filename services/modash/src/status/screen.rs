//! The terminal while the table follows: a screen of its own, keys without Enter, and
//! everything as it was afterwards, however it ends.

use std::{
    io::{self, Read as _, Write as _},
    time::Duration,
};

use chrono::Utc;
use modash_proto::v1::SubscribeResponse;
use modash_runtime::Shutdown;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, interval, sleep},
};
use tonic::{Status, Streaming};

use super::{
    client::{Client, Connection},
    now::Now,
    view,
};
use crate::Error;

/// How often ages go on.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// Totals that have changed are asked for at most this often.
const ASK_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Totals are asked for this often although nothing was heard of a change: a day ends,
/// and delivery changes on its own.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Pause before a lost connection is opened again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Follows until `q` is pressed or a stop is asked for.
pub(super) async fn follow(client: &Client, shutdown: &Shutdown) -> Result<(), Error> {
    // Before the screen changes: who mistyped an address wants to read why.
    let mut connection = client.connect().await?;
    let mut changes = connection.subscribe().await.map_err(|status| client.failed(&status))?;
    let mut now = Now::of(client.from());
    let screen = Screen::enter();
    let mut keys = keys();
    let mut resized = signal(SignalKind::window_change()).map_err(Error::Terminal)?;
    let mut tick = interval(DRAW_EVERY);
    let (mut changed, mut asked) = (true, None::<Instant>);
    loop {
        let since = asked.map_or(Duration::MAX, |asked| asked.elapsed());
        if since >= ASK_EVERY || ((changed || now.lost) && since >= ASK_AT_MOST_EVERY) {
            let asking = async {
                if now.lost {
                    changes = connection.subscribe().await?;
                }
                connection.ask(&mut now).await
            };
            // A stream that ended says the same.
            let answer = tokio::select! {
                answer = asking => answer,
                () = leave(&mut keys, shutdown) => return Ok(()),
            };
            now.problem = answer.err().map(|status| problem(&status));
            (changed, asked) = (false, Some(Instant::now()));
        }
        screen.draw(&now);
        tokio::select! {
            () = leave(&mut keys, shutdown) => return Ok(()),
            _ = resized.recv() => {}
            _ = tick.tick() => {}
            message = changes.message() => match message {
                Ok(Some(message)) => changed |= now.take(message, Utc::now()),
                ended => {
                    now.problem = Some(match ended {
                        Err(status) => problem(&status),
                        Ok(_) => "analytics has ended the stream; trying again".to_owned(),
                    });
                    screen.draw(&now);
                    tokio::select! {
                        () = leave(&mut keys, shutdown) => return Ok(()),
                        (new, stream) = again(client) => {
                            (connection, changes) = (new, stream);
                            (changed, asked, now.problem) = (true, None, None);
                        }
                    }
                }
            },
        }
    }
}

/// Returns when `q` is pressed (or Ctrl-C or Ctrl-D where they come as keys), or a stop
/// is asked for.
async fn leave(keys: &mut mpsc::Receiver<u8>, shutdown: &Shutdown) {
    const LEAVE: [u8; 4] = [b'q', b'Q', 3, 4];
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            key = keys.recv() => match key {
                Some(key) if !LEAVE.contains(&key) => {}
                Some(_) => return,
                // No more keys will come.
                None => return shutdown.requested().await,
            },
        }
    }
}

fn problem(status: &Status) -> String {
    format!("no answer from analytics: {}; trying again", status.message())
}

/// Tries until there is a connection.
async fn again(client: &Client) -> (Connection, Streaming<SubscribeResponse>) {
    loop {
        sleep(RETRY_AFTER).await;
        if let Ok(mut connection) = client.connect().await
            && let Ok(changes) = connection.subscribe().await
        {
            return (connection, changes);
        }
    }
}

/// Keys as they are pressed. The thread that reads them ends with the process: a read
/// cannot be interrupted.
fn keys() -> mpsc::Receiver<u8> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut byte = [0];
        // One at a time: keys come slowly, and each counts at once.
        while io::stdin().read_exact(&mut byte).is_ok() {
            if sender.blocking_send(byte[0]).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A screen of its own; left when dropped.
struct Screen {
    /// How the terminal was. `None`: keys do not come from one.
    before: Option<Termios>,
}

impl Screen {
    fn enter() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            // Signals stay: Ctrl-C ends as everywhere.
            raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &raw);
        }
        write("\x1b[?1049h\x1b[?25l\x1b[2J");
        Self { before }
    }

    fn draw(&self, now: &Now) {
        let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0);
        let (columns, rows) =
            size.map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        let mut lines = view::lines(now, columns, rows.saturating_sub(1));
        lines.push("q quits".to_owned());
        // Each line is cleared behind its text, and what is below the last one.
        let lines: Vec<_> = lines.iter().map(|line| format!("{line}\x1b[K")).collect();
        write(&format!("\x1b[H{}\x1b[J", lines.join("\r\n")));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        write("\x1b[?25h\x1b[?1049l");
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// A terminal that is gone is not our problem.
fn write(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
