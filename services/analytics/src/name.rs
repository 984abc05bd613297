//! What is a name of something, and what can have one.

use modash_proto::{Violations, v1::NamedKind};

use crate::store::{MAX_NAMES, NameRow};

/// Longest id and longest name in bytes.
const MAX_ID_BYTES: usize = 256;
const MAX_NAME_BYTES: usize = 80;

/// Notes what is wrong with a name; an empty one takes away.
pub(crate) fn check(row: &NameRow, violations: &mut Violations) {
    let kind = NamedKind::try_from(i32::from(row.kind)).unwrap_or_default();
    if kind == NamedKind::Unspecified {
        violations.add("kind", "must be that of a client key, a user or a tag");
    }
    check_text("id", &row.id, MAX_ID_BYTES, violations);
    if kind == NamedKind::Tag && !row.id.contains('=') {
        violations.add("id", "must be the name of the tag, \"=\" and its value");
    }
    if !row.name.is_empty() {
        check_text("name", &row.name, MAX_NAME_BYTES, violations);
    }
}

/// Notes a text that is empty, too long, or has characters that no line shows.
pub(crate) fn check_text(field: &str, text: &str, most: usize, violations: &mut Violations) {
    if text.trim().is_empty() || text.len() > most || text.contains(char::is_control) {
        violations.add(field, format!("must have 1 to {most} bytes, without control characters"));
    }
}

/// Why one more cannot be given.
pub(crate) fn too_many() -> String {
    format!("{MAX_NAMES} names are given, which is the most: take one away first")
}
