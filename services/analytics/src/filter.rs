//! Which requests count: checked once, then asked of the database, of running
//! requests and of committed ones alike.

use std::collections::HashMap;

use modash_proto::{
    Violations,
    v1::{self, LiveRequest},
};

use crate::store::Row;

/// Most values of one list.
const MAX_VALUES: usize = 100;

/// A checked filter. `None` lets all pass; the empty text stands for requests
/// that had no such value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) models: Option<Vec<String>>,
    pub(crate) upstreams: Option<Vec<String>>,
    pub(crate) dialects: Option<Vec<String>>,
    pub(crate) operations: Option<Vec<i16>>,
    pub(crate) outcomes: Option<Vec<i16>>,
    pub(crate) client_keys: Option<Vec<String>>,
    pub(crate) users: Option<Vec<String>>,
    pub(crate) sessions: Option<Vec<String>>,
    pub(crate) tags: Option<HashMap<String, String>>,
    pub(crate) stream: Option<bool>,
}

impl Filter {
    /// Checks a filter from the wire and notes what is wrong with it.
    pub(crate) fn from_wire(wire: Option<v1::Filter>, violations: &mut Violations) -> Self {
        let Some(wire) = wire else { return Self::default() };
        let mut texts = |field: &str, values: Vec<String>| {
            check_length(field, values.len(), violations);
            if values.iter().any(|value| value.contains('\0')) {
                violations.add(field, "must not contain NUL characters");
            }
            (!values.is_empty()).then_some(values)
        };
        let models = texts("filter.models", wire.models);
        let upstreams = texts("filter.upstreams", wire.upstreams);
        let dialects = texts("filter.dialects", wire.dialects);
        let client_keys = texts("filter.client_keys", wire.client_keys);
        let users = texts("filter.users", wire.users);
        let sessions = texts("filter.sessions", wire.sessions);
        let mut codes = |field: &str, values: Vec<i32>| {
            check_length(field, values.len(), violations);
            // What does not fit was never stored: -1 matches nothing either.
            let codes = values.into_iter().map(|value| i16::try_from(value).unwrap_or(-1));
            Some(codes.collect::<Vec<_>>()).filter(|codes| !codes.is_empty())
        };
        let operations = codes("filter.operations", wire.operations);
        let outcomes = codes("filter.outcomes", wire.outcomes);
        check_length("filter.tags", wire.tags.len(), violations);
        if wire.tags.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            violations.add("filter.tags", "must not contain NUL characters");
        }
        Self {
            models,
            upstreams,
            dialects,
            operations,
            outcomes,
            client_keys,
            users,
            sessions,
            tags: (!wire.tags.is_empty()).then_some(wire.tags),
            stream: wire.stream,
        }
    }

    /// Whether it asks for a dimension of series.
    pub(crate) fn has_dimensions(&self) -> bool {
        self.models.is_some()
            || self.upstreams.is_some()
            || self.dialects.is_some()
            || self.operations.is_some()
            || self.client_keys.is_some()
            || self.users.is_some()
            || self.tags.is_some()
            || self.stream.is_some()
    }

    /// Whether a running request passes. Its session and tags are not known
    /// before its end, and while it runs it has no outcome: it does not pass
    /// where one of them is asked for.
    pub(crate) fn passes_live(&self, request: &LiveRequest) -> bool {
        self.sessions.is_none()
            && self.tags.is_none()
            && has_code(self.outcomes.as_ref(), request.outcome)
            && has_code(self.operations.as_ref(), request.operation)
            && has_text(self.models.as_ref(), request.model.as_deref())
            && has_text(self.upstreams.as_ref(), Some(&request.upstream))
            && has_text(self.dialects.as_ref(), Some(&request.dialect))
            && has_text(self.client_keys.as_ref(), request.client_key.as_deref())
            && has_text(self.users.as_ref(), request.user.as_deref())
            && self.stream.is_none_or(|stream| stream == request.stream)
    }

    /// Whether a finished request passes.
    pub(crate) fn passes(&self, row: &Row) -> bool {
        let event = &row.event;
        let model = event.model.as_deref().or(event.model_requested.as_deref());
        has_code(self.outcomes.as_ref(), event.outcome)
            && has_code(self.operations.as_ref(), event.operation)
            && has_text(self.models.as_ref(), model)
            && has_text(self.upstreams.as_ref(), Some(&event.upstream))
            && has_text(self.dialects.as_ref(), Some(&event.dialect))
            && has_text(self.client_keys.as_ref(), event.client_key.as_deref())
            && has_text(self.users.as_ref(), event.user.as_deref())
            // A request without a session is never found by its session.
            && (self.sessions.is_none()
                || event.session.is_some()
                    && has_text(self.sessions.as_ref(), event.session.as_deref()))
            && self.stream.is_none_or(|stream| stream == event.stream)
            && self.tags.as_ref().is_none_or(|tags| {
                tags.iter().all(|(name, value)| event.tags.get(name) == Some(value))
            })
    }
}

fn check_length(field: &str, length: usize, violations: &mut Violations) {
    if length > MAX_VALUES {
        violations.add(field, format!("must have at most {MAX_VALUES} values"));
    }
}

fn has_text(wanted: Option<&Vec<String>>, value: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| wanted.iter().any(|wanted| wanted == value.unwrap_or_default()))
}

fn has_code(wanted: Option<&Vec<i16>>, value: i32) -> bool {
    wanted.is_none_or(|wanted| wanted.iter().any(|wanted| i32::from(*wanted) == value))
}
