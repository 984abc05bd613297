//! Who may do what: tokens with roles and scopes, the file that holds their hashes,
//! and the commands that change that file. Knows no protocol and no listener: a
//! door asks [`Access::admit`] with the header that it received, and passes on what
//! the answer says.
//!
//! `token` (the secret and its hash) → `grant` and `scope` (what it allows) →
//! `tokens` (the file as text) → `access` (the file while it changes) → a door.
//! `file` and `command` are the only places that write.

mod access;
mod caller_id;
mod command;
mod expiry;
mod file;
mod grant;
mod scope;
mod settings;
mod source;
mod token;
mod tokens;

/// Header by which analytics says with each answer that it asks for tokens and applies
/// their scopes: one that was started without would show everything to everybody.
pub const APPLIES_SCOPES: &str = "modash-applies-scopes";

pub use access::{Access, Pass};
pub use caller_id::CallerId;
pub use command::{CommandError, NewToken, TokenCommand, run_command};
pub use expiry::Expiry;
pub use file::FileError;
pub use grant::{Grant, Refusal, Role};
pub use scope::{Scope, ScopeError};
pub use settings::AccessSettings;
pub use source::TokenSource;
pub use token::{Hash, Token};
pub use tokens::{Tokens, TokensError};
