//! The one place where errors become gRPC statuses: a caller learns what to do,
//! the log learns what happened.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use modash_proto::Reason;
use tonic::Status;

use crate::store;

/// What keeps a call from its answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The caller's mistake, or an answer that is ready.
    Status(Box<Status>),
    /// The database.
    Store(store::Error),
    /// The deadline passed.
    Deadline,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    /// What the caller gets: no SQL, no host, no secret.
    pub(crate) fn into_status(self) -> Status {
        match self {
            Self::Status(status) => *status,
            Self::Deadline | Self::Store(store::Error::Timeout) => {
                Reason::AnswerTooSlow.status("the answer took too long; try a shorter range")
            }
            Self::Store(store::Error::TooManyRows) => Reason::AnswerTooLarge.status(
                "the answer would read too many rows; try a shorter range, a wider bucket or \
                 a filter by fewer dimensions at a time",
            ),
            Self::Store(store::Error::NotPrepared) => {
                Reason::DatabaseNotReady.status("the database is not ready yet; try again")
            }
            Self::Store(store::Error::Unreachable(_)) => {
                Reason::DatabaseUnreachable.status("the database is not reachable; try again")
            }
            Self::Store(store::Error::Conflict(_)) => {
                Reason::DatabaseBusy.status("the database is busy; try again")
            }
            Self::Store(store::Error::Packed(error)) => {
                Reason::DatabaseFailed.status(error.to_string())
            }
            Self::Store(store::Error::Value(_) | store::Error::Other(_)) => {
                let text = "the database could not answer; the log of analytics says why";
                Reason::DatabaseFailed.status(text)
            }
        }
    }
}

/// Lets a message through at most once in five seconds, with the number of those
/// that were held back, so that an outage does not flood the log.
#[derive(Debug, Default)]
pub(crate) struct LimitedLog {
    state: Mutex<(Option<Instant>, u64)>,
}

impl LimitedLog {
    const INTERVAL: Duration = Duration::from_secs(5);

    /// Calls `log` with the number of messages held back before, if it is time.
    pub(crate) fn write(&self, log: impl FnOnce(u64)) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| now.duration_since(last) < Self::INTERVAL) {
            state.1 += 1;
            return;
        }
        log(std::mem::take(&mut state.1));
        state.0 = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;
    use tonic_types::StatusExt as _;

    #[test]
    fn an_error_of_the_database_says_what_to_do_and_not_where_it_is() {
        let io = std::io::Error::other("10.0.0.7:5432 password=secret");
        let cases = [
            (
                store::Error::Unreachable(sqlx::Error::Io(io)),
                Code::Unavailable,
                Reason::DatabaseUnreachable,
            ),
            (store::Error::Timeout, Code::DeadlineExceeded, Reason::AnswerTooSlow),
            (
                store::Error::Other(sqlx::Error::Protocol("SELECT secret".into())),
                Code::Internal,
                Reason::DatabaseFailed,
            ),
        ];
        for (error, code, reason) in cases {
            let status = Failure::from(error).into_status();
            assert_eq!(status.code(), code);
            assert_eq!(status.get_details_error_info().unwrap().reason, reason.name());
            for word in ["secret", "10.0.0.7", "SELECT"] {
                assert!(!status.message().contains(word), "{}", status.message());
            }
        }
    }

    #[test]
    fn repeated_messages_are_held_back_and_counted() {
        let log = LimitedLog::default();
        let mut written = Vec::new();
        (0..4).for_each(|_| log.write(|held_back| written.push(held_back)));
        assert_eq!(written, [0]);
        assert_eq!(log.state.lock().unwrap().1, 3);
    }
}
