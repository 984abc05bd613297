//! Who asks, and in which session, as the body of a request says it. Claude Code
//! puts device, account and session into one text, which is no user by itself:
//! every session would be another.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::json::{Scanner, Shape, Slots};
use crate::limits::Limits;
use crate::record::keep_last;
use crate::wire::value;

crate::wire::rows! { ROWS from 0, {
    ACCOUNT = value("account_uuid account_id");
    DEVICE = value("device_id");
    USER = value("user_id");
    SESSION = value("session_id");
} }

static SHAPE: LazyLock<Shape> = LazyLock::new(|| Shape::new(ROWS));

/// Longest text that names a user and a session.
const TEXT: usize = 512;
/// Longest user and session.
const NAME: usize = 128;

/// User and session named by a request body.
#[derive(Debug, Default)]
pub(crate) struct Who {
    /// The text that names the user, and maybe the session.
    text: Option<String>,
    /// End user.
    pub(crate) user: Option<String>,
    session_in_text: Option<String>,
    session: Option<String>,
}

impl Who {
    /// Takes what the body names now: it may take back what it said before.
    pub(crate) fn update(&mut self, user: Option<&[u8]>, session: Option<&[u8]>) {
        if session.is_none() {
            self.session = None;
        }
        keep_last(&mut self.session, session, NAME);
        if user == self.text.as_deref().map(str::as_bytes) {
            return;
        }
        (self.text, self.user, self.session_in_text) = (None, None, None);
        keep_last(&mut self.text, user, TEXT);
        let Some(text) = &self.text else { return };
        let (user, session) = parts(text);
        keep_last(&mut self.user, user.as_deref().map(str::as_bytes), NAME);
        keep_last(&mut self.session_in_text, session.as_deref().map(str::as_bytes), NAME);
    }

    /// Session or conversation.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session_in_text.as_deref().or(self.session.as_deref())
    }
}

type Part<'a> = Option<Cow<'a, str>>;

/// User and session of a text: the account, else the device or user. Any other
/// text is a user.
fn parts(text: &str) -> (Part<'_>, Part<'_>) {
    of_json(text).or_else(|| of_words(text)).unwrap_or((Some(Cow::Borrowed(text)), None))
}

/// `{"device_id":"…","account_uuid":"…","session_id":"…"}`.
fn of_json(text: &str) -> Option<(Part<'_>, Part<'_>)> {
    if !text.starts_with('{') {
        return None;
    }
    let mut slots = Slots::new(SHAPE.slots());
    let mut scanner = Scanner::new(&Limits::default());
    let read = scanner.feed(text.as_bytes(), &SHAPE, &mut slots).ok()?;
    if !scanner.is_done() || !text[read..].trim().is_empty() {
        return None;
    }
    let named = |slot| {
        let text = slots.text(slot)?;
        Some(Cow::Owned(String::from_utf8_lossy(text).into_owned()))
    };
    let user = named(ACCOUNT).or_else(|| named(DEVICE)).or_else(|| named(USER));
    let session = named(SESSION);
    (user.is_some() || session.is_some()).then_some((user, session))
}

/// `user_<device>_account_<account>_session_<session>`, where the account may be
/// empty.
fn of_words(text: &str) -> Option<(Part<'_>, Part<'_>)> {
    let (device, rest) = text.strip_prefix("user_")?.split_once("_account_")?;
    let (account, session) = rest.split_once("_session_")?;
    let named = |text| Some(text).filter(|text: &&str| !text.is_empty()).map(Cow::Borrowed);
    Some((named(account).or_else(|| named(device)), named(session)))
}
