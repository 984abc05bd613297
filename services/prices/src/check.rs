//! That no two prices of a list match the same name on the same day.

use std::collections::HashMap;

use crate::entry::{Entry, Name, Scope};
use crate::error::Error;
use crate::pattern::Pattern;

/// Patterns of all files of a list.
const MAX_PATTERNS: usize = 1_000;

/// Refuses names that two prices have on the same day, patterns that match the same name,
/// and aliases that a pattern matches too.
pub(crate) fn no_two_match(entries: &[Entry]) -> Result<(), Error> {
    let mut names: HashMap<(&Scope, &str), Vec<&Entry>> = HashMap::new();
    let mut patterns: HashMap<&Scope, Vec<(&Pattern, &Entry)>> = HashMap::new();
    let mut count = 0;
    for entry in entries {
        for name in &entry.names {
            match name {
                Name::Exact(name) => once(&mut names, entry, name)?,
                Name::Pattern(pattern) => {
                    count += 1;
                    if count > MAX_PATTERNS {
                        return Err(refused(
                            entry,
                            format!(
                                "there are more than {MAX_PATTERNS} patterns; write exact names"
                            ),
                        ));
                    }
                    let others = patterns.entry(&entry.scope).or_default();
                    for (other, of) in others.iter() {
                        if !entry.validity.overlaps(of.validity) {
                            continue;
                        }
                        if let Some(common) = pattern.common_name(other) {
                            return Err(refused(
                                entry,
                                format!(
                                    "{:?} and {:?} of {} both match {common:?}; make one narrower, or write exact names",
                                    pattern.text(),
                                    other.text(),
                                    place(of)
                                ),
                            ));
                        }
                    }
                    others.push((pattern, entry));
                }
            }
        }
    }
    for entry in entries {
        for alias in &entry.aliases {
            once(&mut names, entry, alias)?;
            let of_scope = patterns.get(&entry.scope).into_iter().flatten();
            let shadow = of_scope
                .filter(|(pattern, of)| {
                    pattern.matches(alias) && entry.validity.overlaps(of.validity)
                })
                .map(|(pattern, _)| pattern.text())
                .next();
            if let Some(pattern) = shadow {
                return Err(refused(
                    entry,
                    format!(
                        "the alias {alias:?} never matches, since the pattern {pattern:?} does; write it as model"
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn once<'e>(
    names: &mut HashMap<(&'e Scope, &'e str), Vec<&'e Entry>>,
    entry: &'e Entry,
    name: &'e str,
) -> Result<(), Error> {
    let others = names.entry((&entry.scope, name)).or_default();
    if let Some(other) = others.iter().find(|other| other.validity.overlaps(entry.validity)) {
        return Err(refused(
            entry,
            format!(
                "{name:?} has a price at {} too, on the same days; remove one, or set from and until",
                place(other)
            ),
        ));
    }
    others.push(entry);
    Ok(())
}

fn place(entry: &Entry) -> String {
    format!("{}:{}", entry.place.file, entry.place.line)
}

fn refused(entry: &Entry, problem: String) -> Error {
    entry.place.error(Some(entry.title()), problem)
}
