//! Chains of the Responses API, and of Gemini's Interactions: a request names the response
//! that it follows (`previous_response_id`), so all of a conversation are one session, where no request
//! says which. Noted when requests are written and joined in the background, by one
//! process at a time: the session is named by the first response of the chain, in
//! whatever order its requests arrive.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use modash_proto::v1::{CostSource, Operation, UsageEvent};
use sha2::{Digest as _, Sha256};
use sqlx::types::Uuid;

use super::{
    Error, Row, Store,
    copy::CopyRows,
    pool::Transaction,
    row::from_row,
    sessions::{self, NOT_FAILED},
    traced::Traced as _,
};

/// Columns of a note.
const COLUMNS: i16 = 7;

/// Notes that are worked on in one transaction.
const NOTES: i64 = 10_000;

/// Dialects whose responses are chained.
const RESPONSES: [&str; 2] = ["openai-responses", "gemini-interactions"];

/// A request of a chain, or one that may begin one.
#[derive(Debug, Clone)]
struct Note {
    response_key: Uuid,
    /// Id of the response; empty: there was none.
    response_id: String,
    previous_key: Option<Uuid>,
    previous_id: Option<String>,
    /// As the client named it.
    session: Option<String>,
    started_at: DateTime<Utc>,
    event_id: Uuid,
}

from_row!(Note {
    response_key,
    response_id,
    previous_key,
    previous_id,
    session,
    started_at,
    event_id
});

/// A request that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    response_key: Uuid,
    /// The session that those who follow it belong to.
    session: String,
    started_at: DateTime<Utc>,
    event_id: Uuid,
    /// The response before its chain, which did not come yet.
    waits_for: Option<Uuid>,
    /// Its request has this session.
    joined: bool,
}

from_row!(Link { response_key, session, started_at, event_id, waits_for, joined });

/// Names a response of an upstream.
fn response_key(upstream: &str, response_id: &str) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(upstream.as_bytes());
    hash.update([0]);
    hash.update(response_id.as_bytes());
    Uuid::from_slice(&hash.finalize()[..16]).unwrap_or_default()
}

impl Note {
    fn of(row: &Row) -> Option<Self> {
        let event: &UsageEvent = &row.event;
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let previous_id = text(&event.previous_response_id);
        // Reading a response again is no part of the conversation.
        let begins = RESPONSES.contains(&event.dialect.as_str())
            && event.known_operation() == Operation::Chat;
        let response_id = text(&event.response_id).filter(|_| begins);
        if previous_id.is_none() && response_id.is_none() {
            return None;
        }
        let key = |id: &String| response_key(&event.upstream, id);
        Some(Self {
            response_key: response_id.as_ref().map_or(row.id, key),
            previous_key: previous_id.as_ref().map(key),
            response_id: response_id.unwrap_or_default(),
            previous_id,
            session: text(&event.session),
            started_at: row.started_at,
            event_id: row.id,
        })
    }
}

/// Notes the requests among rows that may belong to chains.
pub(super) async fn add_notes<'a>(
    connection: &mut Transaction,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Result<(), Error> {
    let notes: Vec<Note> = rows.into_iter().filter_map(Note::of).collect();
    if notes.is_empty() {
        return Ok(());
    }
    let mut copy = CopyRows::new(COLUMNS, notes.len());
    for note in &notes {
        copy.row()
            .uuid(Some(note.response_key))
            .text(Some(&note.response_id))
            .uuid(note.previous_key)
            .text(note.previous_id.as_deref())
            .text(note.session.as_deref())
            .moment(Some(note.started_at))
            .uuid(Some(note.event_id));
    }
    copy.send(connection, include_str!("queries/copy_response_notes.sql"))
        .traced("copy_response_notes")
        .await
}

/// What is known of chains, as far as some notes need it, and what they change of it.
#[derive(Debug, Default)]
struct Chains {
    links: HashMap<Uuid, Link>,
    /// Links by the response that they wait for.
    waiting: HashMap<Uuid, Vec<Uuid>>,
    /// Links that have to be written.
    written: HashSet<Uuid>,
    /// Those among them whose request gets another session.
    moved: HashSet<Uuid>,
    /// Sessions that lost requests to another one.
    renamed: HashSet<String>,
}

impl Chains {
    fn know(&mut self, link: Link) {
        if let Some(key) = link.waits_for {
            self.waiting.entry(key).or_default().push(link.response_key);
        }
        self.links.insert(link.response_key, link);
    }

    fn join(&mut self, note: Note) {
        // Some servers give every response the same id.
        if self.links.contains_key(&note.response_key) {
            return;
        }
        let named = note.session.is_some();
        let previous = note.previous_key.and_then(|key| self.links.get_mut(&key));
        let (session, waits_for) = match (note.session, previous) {
            (Some(session), _) => (session, None),
            (None, Some(previous)) => {
                if !previous.joined {
                    previous.joined = true;
                    self.written.insert(previous.response_key);
                    self.moved.insert(previous.response_key);
                }
                (previous.session.clone(), previous.waits_for)
            }
            (None, None) => match note.previous_id {
                Some(ref id) => (id.clone(), note.previous_key),
                None => (note.response_id, None),
            },
        };
        // Those that follow it, and came before it.
        let followers = self.waiting.remove(&note.response_key).unwrap_or_default();
        for key in &followers {
            let Some(link) = self.links.get_mut(key) else { continue };
            link.waits_for = waits_for;
            self.written.insert(*key);
            if link.session != session {
                self.moved.insert(*key);
                let before = std::mem::replace(&mut link.session, session.clone());
                self.renamed.insert(before);
            }
        }
        let joined = named || note.previous_key.is_some() || !followers.is_empty();
        if let Some(key) = waits_for {
            self.waiting.entry(key).or_default().extend_from_slice(&followers);
        }
        self.written.insert(note.response_key);
        if joined && !named {
            self.moved.insert(note.response_key);
        }
        let Note { response_key, started_at, event_id, .. } = note;
        self.know(Link { response_key, session, started_at, event_id, waits_for, joined });
    }
}

/// Works on notes, at most [`NOTES`]; gives how many. Only for the one process that holds
/// the lock of the rollups.
pub(super) async fn fold(connection: &mut Transaction) -> Result<usize, Error> {
    let mut notes: Vec<Note> = sqlx::query_as(include_str!("queries/take_response_notes.sql"))
        .bind(NOTES)
        .fetch_all(&mut *connection)
        .await?;
    if notes.is_empty() {
        return Ok(0);
    }
    notes.sort_unstable_by_key(|note| (note.started_at, note.event_id));
    let count = notes.len();
    let keys: Vec<Uuid> = notes
        .iter()
        .flat_map(|note| [Some(note.response_key), note.previous_key])
        .flatten()
        .collect();
    let own: Vec<Uuid> = notes.iter().map(|note| note.response_key).collect();
    let known: Vec<Link> = sqlx::query_as(include_str!("queries/response_links.sql"))
        .bind(keys)
        .bind(own)
        .fetch_all(&mut *connection)
        .await?;
    let mut chains = Chains::default();
    known.into_iter().for_each(|link| chains.know(link));
    notes.into_iter().for_each(|note| chains.join(note));
    write(connection, &chains).await?;
    Ok(count)
}

async fn write(connection: &mut Transaction, chains: &Chains) -> Result<(), Error> {
    let of = |keys: &HashSet<Uuid>| -> Vec<&Link> {
        keys.iter().filter_map(|key| chains.links.get(key)).collect()
    };
    let (links, moved) = (of(&chains.written), of(&chains.moved));
    sqlx::query(include_str!("queries/write_response_links.sql"))
        .bind(links.iter().map(|link| link.response_key).collect::<Vec<_>>())
        .bind(links.iter().map(|link| link.session.as_str()).collect::<Vec<_>>())
        .bind(links.iter().map(|link| link.started_at).collect::<Vec<_>>())
        .bind(links.iter().map(|link| link.event_id).collect::<Vec<_>>())
        .bind(links.iter().map(|link| link.waits_for).collect::<Vec<_>>())
        .bind(links.iter().map(|link| link.joined).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    if moved.is_empty() {
        return Ok(());
    }
    let starts: Vec<_> = moved.iter().map(|link| link.started_at).collect();
    let events: Vec<_> = moved.iter().map(|link| link.event_id).collect();
    sqlx::query(include_str!("queries/join_requests.sql"))
        .bind(&starts)
        .bind(&events)
        .bind(moved.iter().map(|link| link.session.as_str()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    let renamed: Vec<&str> = chains.renamed.iter().map(String::as_str).collect();
    if !renamed.is_empty() {
        let ids: Vec<i64> = renamed.iter().map(|session| sessions::id_of(session)).collect();
        for statement in [
            include_str!("queries/delete_renamed_sessions.sql"),
            include_str!("queries/delete_changes_of_renamed_sessions.sql"),
        ] {
            sqlx::query(statement).bind(&ids).execute(&mut *connection).await?;
        }
    }
    sqlx::query(include_str!("queries/add_joined_requests.sql"))
        .bind(NOT_FAILED)
        .bind(CostSource::Unknown as i16)
        .bind(CostSource::Estimated as i16)
        .bind(&starts)
        .bind(&events)
        .bind(&renamed)
        .execute(connection)
        .await?;
    Ok(())
}

impl Store {
    /// Forgets responses of requests before a moment.
    pub(super) async fn forget_response_links(&self, before: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query(include_str!("queries/forget_response_links.sql"))
            .bind(before)
            .execute(&self.write)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response that follows another, in a session that is named or not.
    fn note(id: &str, previous: Option<&str>, session: Option<&str>) -> Note {
        let event = UsageEvent { response_id: Some(id.to_owned()), ..UsageEvent::default() };
        Note {
            response_key: response_key("u", id),
            response_id: event.response_id.unwrap_or_default(),
            previous_key: previous.map(|previous| response_key("u", previous)),
            previous_id: previous.map(str::to_owned),
            session: session.map(str::to_owned),
            started_at: DateTime::UNIX_EPOCH,
            event_id: response_key("event", id),
        }
    }

    /// The sessions of the requests, by response.
    fn sessions(notes: &[Note], order: &[usize]) -> Vec<Option<String>> {
        let mut chains = Chains::default();
        order.iter().for_each(|at| chains.join(notes[*at].clone()));
        let session = |note: &Note| {
            let link = chains.links.get(&note.response_key)?;
            link.joined.then(|| link.session.clone())
        };
        notes.iter().map(session).collect()
    }

    /// All orders of so many.
    fn orders(count: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![Vec::new()];
        }
        let longer = |order: Vec<usize>| {
            (0..count).map(move |at| [&order[..at], &[count - 1], &order[at..]].concat())
        };
        orders(count - 1).into_iter().flat_map(longer).collect()
    }

    fn check(notes: &[Note], expected: &[Option<&str>]) {
        for order in orders(notes.len()) {
            let found = sessions(notes, &order);
            let found: Vec<_> = found.iter().map(Option::as_deref).collect();
            assert_eq!(found, expected, "{order:?}");
        }
    }

    #[test]
    fn a_chain_is_one_session_in_every_order() {
        let a = Some("a");
        let chain = [
            note("a", None, None),
            note("b", a, None),
            note("c", Some("b"), None),
            note("d", Some("b"), None),
            note("e", Some("d"), None),
            note("alone", None, None),
        ];
        check(&chain, &[a, a, a, a, a, None]);
    }

    #[test]
    fn a_chain_whose_start_was_not_seen_is_named_by_it() {
        let chain = [note("b", Some("a"), None), note("c", Some("b"), None)];
        check(&chain, &[Some("a"), Some("a")]);
    }

    #[test]
    fn a_session_that_a_request_names_holds_for_those_that_follow() {
        let (a, s) = (Some("a"), Some("s"));
        let named = [note("a", None, s), note("b", a, None), note("c", Some("b"), None)];
        check(&named, &[s, s, s]);
        let in_the_middle = [
            note("a", None, None),
            note("b", a, s),
            note("c", Some("b"), None),
            note("d", Some("c"), Some("t")),
        ];
        check(&in_the_middle, &[None, s, s, Some("t")]);
        let fork = [note("a", None, None), note("b", a, s), note("c", a, None)];
        check(&fork, &[a, s, a]);
    }

    #[test]
    fn circles_end() {
        let circle =
            [note("a", Some("b"), None), note("b", Some("a"), None), note("c", Some("c"), None)];
        for order in orders(3) {
            assert!(sessions(&circle, &order).iter().all(Option::is_some));
        }
    }
}
