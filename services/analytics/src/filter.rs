//! Which requests count: checked once, then asked of the database, of running
//! requests and of committed ones alike.

use std::collections::HashMap;

use modash_access::Scope;
use modash_proto::{
    Violations, is_trace_id,
    v1::{self, LiveRequest},
};

use uuid::Uuid;

use crate::store::{Row, calls_no_model};

/// Most values of one list.
const MAX_VALUES: usize = 100;

/// A checked filter. `None` lets all pass; the empty text stands for requests
/// that had no such value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// In lower case.
    pub(crate) traces: Option<Vec<String>>,
    /// A scope narrowed it: what is not known to pass it must not be told.
    pub(crate) scoped: bool,
}

impl Filter {
    /// Checks a filter from the wire, notes what is wrong with it, and narrows it to
    /// what the caller sees. There is no other way to a filter.
    pub(crate) fn from_wire(
        wire: Option<v1::Filter>,
        scope: &Scope,
        violations: &mut Violations,
    ) -> Self {
        let filter = wire.map_or_else(Self::default, |wire| Self::checked(wire, violations));
        filter.within(scope)
    }

    fn checked(wire: v1::Filter, violations: &mut Violations) -> Self {
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
        let traces = traces(wire.trace_ids, violations);
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
            traces,
            scoped: false,
        }
    }

    /// The requests that pass this filter and are in a scope.
    fn within(mut self, scope: &Scope) -> Self {
        if scope.is_everything() {
            return self;
        }
        self.scoped = true;
        narrow(&mut self.models, &scope.models);
        narrow(&mut self.upstreams, &scope.upstreams);
        narrow(&mut self.client_keys, &scope.client_keys);
        for (name, value) in &scope.tags {
            let tags = self.tags.get_or_insert_default();
            let asked = tags.insert(name.clone(), value.clone());
            if asked.is_some_and(|asked| asked != *value) {
                // A request has one value of a tag, so none passes.
                self.models = Some(Vec::new());
            }
        }
        self
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

    /// Whether only single requests tell what passes: it asks for what many requests
    /// have for themselves, so no rollups have it.
    pub(crate) fn reads_requests(&self) -> bool {
        self.sessions.is_some() || self.traces.is_some()
    }

    /// The traces that it asks for, as the database has them.
    pub(crate) fn trace_ids(&self) -> Option<Vec<Uuid>> {
        let traces = self.traces.as_ref()?;
        Some(traces.iter().filter_map(|trace| Uuid::try_parse(trace).ok()).collect())
    }

    /// Whether a request passes. A dimension that is not known of it passes only
    /// where it is not asked for.
    pub(crate) fn passes(&self, facts: &Facts<'_>) -> bool {
        has_code(self.outcomes.as_ref(), facts.outcome)
            && has_code(self.operations.as_ref(), facts.operation)
            && has_text(self.models.as_ref(), facts.model)
            && (self.models.is_none() || !facts.call_no_model())
            && has_text(self.upstreams.as_ref(), facts.upstream)
            && has_text(self.dialects.as_ref(), facts.dialect)
            && has_text(self.client_keys.as_ref(), facts.client_key)
            && has_text(self.users.as_ref(), facts.user)
            // A request without a session is never found by its session.
            && (self.sessions.is_none()
                || facts.session.is_some() && has_text(self.sessions.as_ref(), facts.session))
            && has_text(self.traces.as_ref(), facts.trace_id)
            && self.stream.is_none_or(|stream| stream == facts.stream)
            && self.tags.as_ref().is_none_or(|tags| {
                tags.iter().all(|(name, value)| facts.tag(name) == Some(value))
            })
    }
}

/// What a filter is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) outcome: i32,
    pub(crate) operation: i32,
    pub(crate) model: Option<&'a str>,
    pub(crate) upstream: Option<&'a str>,
    pub(crate) dialect: Option<&'a str>,
    pub(crate) client_key: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    pub(crate) trace_id: Option<&'a str>,
    pub(crate) stream: bool,
    /// `None`: not known before the request ends.
    tags: Option<&'a HashMap<String, String>>,
}

impl<'a> Facts<'a> {
    /// Of a finished request.
    pub(crate) fn of_row(row: &'a Row) -> Self {
        let event = &row.event;
        Self {
            outcome: event.outcome,
            operation: event.operation,
            model: event.model.as_deref().or(event.model_requested.as_deref()),
            upstream: Some(&event.upstream),
            dialect: Some(&event.dialect),
            client_key: event.client_key.as_deref(),
            user: event.user.as_deref(),
            session: event.session.as_deref(),
            trace_id: event.trace_id.as_deref(),
            stream: event.stream,
            tags: Some(&event.tags),
        }
    }

    /// Of a running request, whose session, trace and tags are not known before its end.
    /// While it runs it has no outcome.
    pub(crate) fn of_live(request: &'a LiveRequest) -> Self {
        Self {
            outcome: request.outcome,
            operation: request.operation,
            model: request.model.as_deref(),
            upstream: Some(&request.upstream),
            dialect: Some(&request.dialect),
            client_key: request.client_key.as_deref(),
            user: request.user.as_deref(),
            session: None,
            trace_id: None,
            stream: request.stream,
            tags: None,
        }
    }

    /// Whether no model is named and none is needed.
    fn call_no_model(&self) -> bool {
        self.model.is_none() && calls_no_model(self.operation)
    }

    /// The value of a tag.
    pub(crate) fn tag(&self, name: &str) -> Option<&'a String> {
        self.tags?.get(name)
    }
}

/// Checks the ids of traces; they are compared in lower case.
fn traces(mut ids: Vec<String>, violations: &mut Violations) -> Option<Vec<String>> {
    const FIELD: &str = "filter.trace_ids";
    check_length(FIELD, ids.len(), violations);
    ids.iter_mut().for_each(|id| id.make_ascii_lowercase());
    if !ids.iter().all(|id| is_trace_id(id)) {
        violations.add(FIELD, "must be 32 hexadecimal digits each, not all of them 0");
    }
    (!ids.is_empty()).then_some(ids)
}

/// Leaves what is allowed of what is asked for; an empty list lets none pass.
fn narrow(asked: &mut Option<Vec<String>>, allowed: &[String]) {
    if allowed.is_empty() {
        return;
    }
    match asked {
        Some(asked) => asked.retain(|value| allowed.contains(value)),
        None => *asked = Some(allowed.to_vec()),
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
