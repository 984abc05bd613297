//! Collects what is wrong with the fields of a request, so that a caller learns
//! all of it at once, as `google.rpc.BadRequest`.

use tonic::Status;
use tonic_types::{BadRequest, FieldViolation};

use crate::Reason;

/// Field violations found so far.
#[derive(Debug, Default)]
pub struct Violations {
    found: Vec<(String, String)>,
}

impl Violations {
    /// Notes that `field` (a proto path such as `range.end`) is wrong; the
    /// description says what it must be.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.found.push((field.into(), description.into()));
    }

    /// Notes the error of a check, if it is one, and gives its value otherwise.
    pub fn check<T, E: ToString>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// Ok if nothing was found.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every violation in message and details.
    #[allow(clippy::result_large_err)]
    pub fn into_result(self) -> Result<(), Status> {
        if self.found.is_empty() {
            return Ok(());
        }
        let message = self
            .found
            .iter()
            .map(|(field, description)| format!("{field}: {description}"))
            .collect::<Vec<_>>()
            .join("; ");
        let violation = |(field, description)| FieldViolation::new(field, description);
        let fields = BadRequest::new(self.found.into_iter().map(violation).collect::<Vec<_>>());
        Err(Reason::ArgumentInvalid.status_with(message, Some(fields)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt as _;

    #[test]
    fn all_violations_are_in_the_message_and_in_the_details() {
        let mut violations = Violations::default();
        violations.add("page", "must be at least 1");
        violations.add("page_size", "must be from 1 to 100");
        let status = violations.into_result().unwrap_err();
        assert_eq!(status.message(), "page: must be at least 1; page_size: must be from 1 to 100");
        let details = status.get_details_bad_request().unwrap();
        assert_eq!(details.field_violations.len(), 2);
        assert_eq!(details.field_violations[1].field, "page_size");
    }
}
