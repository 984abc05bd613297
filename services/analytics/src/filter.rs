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
    pub(crate) exclude: Exclusion,
    pub(crate) min_prompt_tokens: Option<i64>,
    pub(crate) max_prompt_tokens: Option<i64>,
    /// A scope narrowed it: what is not known to pass it must not be told.
    pub(crate) scoped: bool,
}

/// What does not pass although it passes the rest. `None` excludes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Exclusion {
    pub(crate) models: Option<Vec<String>>,
    pub(crate) upstreams: Option<Vec<String>>,
    pub(crate) dialects: Option<Vec<String>>,
    pub(crate) operations: Option<Vec<i16>>,
    pub(crate) outcomes: Option<Vec<i16>>,
    pub(crate) client_keys: Option<Vec<String>>,
    pub(crate) users: Option<Vec<String>>,
    pub(crate) sessions: Option<Vec<String>>,
    pub(crate) tags: Option<HashMap<String, String>>,
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
        let exclude = wire.exclude.map_or_else(Exclusion::default, |wire| {
            Exclusion::checked(wire, &mut Lists { of: "filter.exclude", violations })
        });
        let (least, most) = (wire.min_prompt_tokens, wire.max_prompt_tokens);
        if least.zip(most).is_some_and(|(least, most)| least > most) {
            violations.add(
                "filter.min_prompt_tokens",
                "must not be greater than filter.max_prompt_tokens",
            );
        }
        // What does not fit was never stored.
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let traces = traces(wire.trace_ids, violations);
        let mut lists = Lists { of: "filter", violations };
        Self {
            models: lists.texts("models", wire.models),
            upstreams: lists.texts("upstreams", wire.upstreams),
            dialects: lists.texts("dialects", wire.dialects),
            operations: lists.codes("operations", wire.operations),
            outcomes: lists.codes("outcomes", wire.outcomes),
            client_keys: lists.texts("client_keys", wire.client_keys),
            users: lists.texts("users", wire.users),
            sessions: lists.texts("sessions", wire.sessions),
            tags: lists.tags(wire.tags),
            stream: wire.stream,
            traces,
            exclude,
            min_prompt_tokens: least.map(count),
            max_prompt_tokens: most.map(count),
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

    /// The first field by which only single requests are told apart, but for their
    /// sessions.
    pub(crate) fn field_of_single_requests(&self) -> Option<&'static str> {
        let fields = [
            ("filter.outcomes", self.outcomes.is_some()),
            ("filter.trace_ids", self.traces.is_some()),
            ("filter.min_prompt_tokens", self.min_prompt_tokens.is_some()),
            ("filter.max_prompt_tokens", self.max_prompt_tokens.is_some()),
            ("filter.exclude.outcomes", self.exclude.outcomes.is_some()),
            ("filter.exclude.sessions", self.exclude.sessions.is_some()),
        ];
        fields.into_iter().find_map(|(field, is)| is.then_some(field))
    }

    /// Whether it asks for a dimension of series or excludes values of one.
    pub(crate) fn has_dimensions(&self) -> bool {
        let excluded = &self.exclude;
        self.models.is_some()
            || self.upstreams.is_some()
            || self.dialects.is_some()
            || self.operations.is_some()
            || self.client_keys.is_some()
            || self.users.is_some()
            || self.tags.is_some()
            || self.stream.is_some()
            || excluded.models.is_some()
            || excluded.upstreams.is_some()
            || excluded.dialects.is_some()
            || excluded.operations.is_some()
            || excluded.client_keys.is_some()
            || excluded.users.is_some()
            || excluded.tags.is_some()
    }

    /// Whether only single requests tell what passes: it asks for what many requests
    /// have for themselves, so no rollups have it.
    pub(crate) fn reads_requests(&self) -> bool {
        self.sessions.is_some()
            || self.traces.is_some()
            || self.exclude.sessions.is_some()
            || self.min_prompt_tokens.is_some()
            || self.max_prompt_tokens.is_some()
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
            && self.has_length(facts.prompt_tokens)
            && !self.exclude.has(facts)
    }

    /// Whether the prompt has a length that is asked for.
    fn has_length(&self, prompt_tokens: Option<u64>) -> bool {
        let (least, most) = (self.min_prompt_tokens, self.max_prompt_tokens);
        if least.is_none() && most.is_none() {
            return true;
        }
        let tokens = prompt_tokens.map(|tokens| i64::try_from(tokens).unwrap_or(i64::MAX));
        tokens.is_some_and(|tokens| {
            least.is_none_or(|least| tokens >= least) && most.is_none_or(|most| tokens <= most)
        })
    }
}

impl Exclusion {
    fn checked(wire: v1::Exclusion, lists: &mut Lists<'_>) -> Self {
        Self {
            models: lists.texts("models", wire.models),
            upstreams: lists.texts("upstreams", wire.upstreams),
            dialects: lists.texts("dialects", wire.dialects),
            operations: lists.codes("operations", wire.operations),
            outcomes: lists.codes("outcomes", wire.outcomes),
            client_keys: lists.texts("client_keys", wire.client_keys),
            users: lists.texts("users", wire.users),
            sessions: lists.texts("sessions", wire.sessions),
            tags: lists.tags(wire.tags),
        }
    }

    /// Whether a request is excluded. A dimension that is not known of it excludes it
    /// only by the empty text.
    fn has(&self, facts: &Facts<'_>) -> bool {
        let text = |excluded: &Option<Vec<String>>, value| {
            excluded.is_some() && has_text(excluded.as_ref(), value)
        };
        let code = |excluded: &Option<Vec<i16>>, value| {
            excluded.is_some() && has_code(excluded.as_ref(), value)
        };
        code(&self.outcomes, facts.outcome)
            || code(&self.operations, facts.operation)
            || !facts.call_no_model() && text(&self.models, facts.model)
            || text(&self.upstreams, facts.upstream)
            || text(&self.dialects, facts.dialect)
            || text(&self.client_keys, facts.client_key)
            || text(&self.users, facts.user)
            || facts.session.is_some() && text(&self.sessions, facts.session)
            || self
                .tags
                .as_ref()
                .is_some_and(|tags| tags.iter().any(|(name, value)| facts.tag(name) == Some(value)))
    }
}

/// Checks the lists of a message, each named in what is noted as wrong.
struct Lists<'a> {
    of: &'static str,
    violations: &'a mut Violations,
}

impl Lists<'_> {
    fn check(&mut self, name: &str, length: usize, has_nul: bool) {
        let field = format!("{}.{name}", self.of);
        check_length(&field, length, self.violations);
        if has_nul {
            self.violations.add(&field, "must not contain NUL characters");
        }
    }

    fn texts(&mut self, name: &str, values: Vec<String>) -> Option<Vec<String>> {
        self.check(name, values.len(), values.iter().any(|value| value.contains('\0')));
        (!values.is_empty()).then_some(values)
    }

    fn codes(&mut self, name: &str, values: Vec<i32>) -> Option<Vec<i16>> {
        self.check(name, values.len(), false);
        // What does not fit was never stored: -1 matches nothing either.
        let codes = values.into_iter().map(|value| i16::try_from(value).unwrap_or(-1));
        Some(codes.collect::<Vec<_>>()).filter(|codes| !codes.is_empty())
    }

    fn tags(&mut self, tags: HashMap<String, String>) -> Option<HashMap<String, String>> {
        let has_nul =
            |(name, value): (&String, &String)| name.contains('\0') || value.contains('\0');
        self.check("tags", tags.len(), tags.iter().any(has_nul));
        (!tags.is_empty()).then_some(tags)
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
    prompt_tokens: Option<u64>,
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
            prompt_tokens: event.prompt_tokens,
            tags: Some(&event.tags),
        }
    }

    /// Of a running request, whose session, trace, tags and
    /// prompt length are not known before its end.
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
            prompt_tokens: None,
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
