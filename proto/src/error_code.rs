//! The one list of error codes, with its three notations: gRPC, HTTP, and the
//! name in JSON (Connect protocol, "Error Codes").

use tonic::Code;

/// An error code of the gRPC contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode(Code);

impl ErrorCode {
    /// HTTP status for this code; 200 for OK.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self.0 {
            Code::Ok => 200,
            Code::Cancelled => 499,
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
            Code::DeadlineExceeded => 504,
            Code::NotFound => 404,
            Code::AlreadyExists | Code::Aborted => 409,
            Code::PermissionDenied => 403,
            Code::ResourceExhausted => 429,
            Code::Unimplemented => 501,
            Code::Unavailable => 503,
            Code::Unauthenticated => 401,
            Code::Unknown | Code::Internal | Code::DataLoss => 500,
        }
    }

    /// Name in JSON, for example `"invalid_argument"`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Code::Ok => "ok",
            Code::Cancelled => "canceled",
            Code::Unknown => "unknown",
            Code::InvalidArgument => "invalid_argument",
            Code::DeadlineExceeded => "deadline_exceeded",
            Code::NotFound => "not_found",
            Code::AlreadyExists => "already_exists",
            Code::PermissionDenied => "permission_denied",
            Code::ResourceExhausted => "resource_exhausted",
            Code::FailedPrecondition => "failed_precondition",
            Code::Aborted => "aborted",
            Code::OutOfRange => "out_of_range",
            Code::Unimplemented => "unimplemented",
            Code::Internal => "internal",
            Code::Unavailable => "unavailable",
            Code::DataLoss => "data_loss",
            Code::Unauthenticated => "unauthenticated",
        }
    }

    /// The gRPC code.
    #[must_use]
    pub fn grpc(self) -> Code {
        self.0
    }
}

impl From<Code> for ErrorCode {
    fn from(code: Code) -> Self {
        Self(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_http_status_of_the_connect_protocol() {
        let expected =
            [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
        for (number, status) in expected.into_iter().enumerate() {
            let code = ErrorCode::from(Code::from(i32::try_from(number).unwrap()));
            assert_eq!(code.http_status(), status, "{}", code.name());
        }
    }
}
