//! Why a call failed, for programs: `google.rpc.ErrorInfo` with the domain `modash` and
//! a reason that never changes, and `google.rpc.RetryInfo` where the same call may
//! succeed later.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{BadRequest, ErrorDetail, ErrorInfo, RetryInfo, StatusExt as _};

/// Domain of all reasons (`google.rpc.ErrorInfo.domain`).
pub const ERROR_DOMAIN: &str = "modash";

/// Why a call failed. Reasons of refused tokens are those of the access check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Fields of the request are wrong; `google.rpc.BadRequest` names them.
    ArgumentInvalid,
    /// The deadline of the caller or of modash passed.
    AnswerTooSlow,
    /// The answer would read more rows than one may.
    AnswerTooLarge,
    /// The caller has as many queries open as one may.
    TooManyQueries,
    /// There are as many subscriptions as there may be.
    TooManySubscriptions,
    /// There are as many saved views or names as there may be.
    TooManyKept,
    /// The gateway passes on as many calls as it may.
    TooManyCalls,
    /// The database is being prepared.
    DatabaseNotReady,
    /// The database cannot be reached.
    DatabaseUnreachable,
    /// The database is busy with a change that is in the way.
    DatabaseBusy,
    /// The database failed.
    DatabaseFailed,
    /// The process stops.
    Stopping,
    /// The gateway cannot reach analytics.
    AnalyticsUnreachable,
}

impl Reason {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 13] = [
        Self::ArgumentInvalid,
        Self::AnswerTooSlow,
        Self::AnswerTooLarge,
        Self::TooManyQueries,
        Self::TooManySubscriptions,
        Self::TooManyKept,
        Self::TooManyCalls,
        Self::DatabaseNotReady,
        Self::DatabaseUnreachable,
        Self::DatabaseBusy,
        Self::DatabaseFailed,
        Self::Stopping,
        Self::AnalyticsUnreachable,
    ];

    /// Its name in `google.rpc.ErrorInfo.reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ArgumentInvalid => "ARGUMENT_INVALID",
            Self::AnswerTooSlow => "ANSWER_TOO_SLOW",
            Self::AnswerTooLarge => "ANSWER_TOO_LARGE",
            Self::TooManyQueries => "TOO_MANY_QUERIES",
            Self::TooManySubscriptions => "TOO_MANY_SUBSCRIPTIONS",
            Self::TooManyKept => "TOO_MANY_KEPT",
            Self::TooManyCalls => "TOO_MANY_CALLS",
            Self::DatabaseNotReady => "DATABASE_NOT_READY",
            Self::DatabaseUnreachable => "DATABASE_UNREACHABLE",
            Self::DatabaseBusy => "DATABASE_BUSY",
            Self::DatabaseFailed => "DATABASE_FAILED",
            Self::Stopping => "STOPPING",
            Self::AnalyticsUnreachable => "ANALYTICS_UNREACHABLE",
        }
    }

    /// The code that goes with it.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::ArgumentInvalid => Code::InvalidArgument,
            Self::AnswerTooSlow => Code::DeadlineExceeded,
            Self::AnswerTooLarge
            | Self::TooManyQueries
            | Self::TooManySubscriptions
            | Self::TooManyKept
            | Self::TooManyCalls => Code::ResourceExhausted,
            Self::DatabaseNotReady
            | Self::DatabaseUnreachable
            | Self::DatabaseBusy
            | Self::Stopping
            | Self::AnalyticsUnreachable => Code::Unavailable,
            Self::DatabaseFailed => Code::Internal,
        }
    }

    /// When the same call may be tried again; `None`: it would fail again, or nobody
    /// knows.
    #[must_use]
    pub fn retry_after(self) -> Option<Duration> {
        let seconds = match self {
            Self::TooManyQueries | Self::DatabaseNotReady | Self::DatabaseBusy | Self::Stopping => {
                1
            }
            Self::AnalyticsUnreachable | Self::DatabaseUnreachable | Self::TooManyCalls => 2,
            Self::TooManySubscriptions => 5,
            Self::ArgumentInvalid
            | Self::AnswerTooSlow
            | Self::AnswerTooLarge
            | Self::TooManyKept
            | Self::DatabaseFailed => return None,
        };
        Some(Duration::from_secs(seconds))
    }

    /// What it means, for the documentation.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::ArgumentInvalid => "fields are wrong; `google.rpc.BadRequest` names each",
            Self::AnswerTooSlow => {
                "the deadline of the caller or of modash passed; ask for a shorter range"
            }
            Self::AnswerTooLarge => {
                "the answer would read too many rows; ask for a shorter range or a wider bucket"
            }
            Self::TooManyQueries => "the caller has as many queries open as one may",
            Self::TooManySubscriptions => {
                "there are as many subscriptions as there may be, or as many of the caller"
            }
            Self::TooManyKept => {
                "there are as many saved views or names as there may be; delete one"
            }
            Self::TooManyCalls => {
                "the gateway passes on as many grpc-web calls as it may, or as many of the caller"
            }
            Self::DatabaseNotReady => "the database is being prepared",
            Self::DatabaseUnreachable => "the database cannot be reached",
            Self::DatabaseBusy => "another change is in the way in the database",
            Self::DatabaseFailed => "the database failed; the log of analytics says why",
            Self::Stopping => "the process is stopping; another replica may answer",
            Self::AnalyticsUnreachable => "the gateway cannot reach analytics",
        }
    }

    /// The status with this message for a person.
    #[must_use]
    pub fn status(self, message: impl Into<String>) -> Status {
        self.status_with(message, None)
    }

    /// The same with the fields that are wrong.
    pub(crate) fn status_with(
        self,
        message: impl Into<String>,
        fields: Option<BadRequest>,
    ) -> Status {
        let info = ErrorInfo::new(self.name(), ERROR_DOMAIN, HashMap::new());
        let retry = self.retry_after().map(|wait| RetryInfo::new(Some(wait)));
        let details = [fields.map(ErrorDetail::from), Some(info.into()), retry.map(Into::into)];
        Status::with_error_details_vec(self.code(), message, details.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_status_has_code_reason_and_when_to_try_again() {
        for reason in Reason::ALL {
            let status = reason.status("what happened");
            assert_eq!((status.code(), status.message()), (reason.code(), "what happened"));
            let info = status.get_details_error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason.name(), "modash"));
            let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
            assert_eq!(retry, reason.retry_after(), "{reason:?}");
        }
        let names: BTreeSet<_> = Reason::ALL.map(Reason::name).into_iter().collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
