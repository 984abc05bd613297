//! Dimension sets: by which requests are told apart in sums, and the cubes that
//! leave all dimensions out but one.

use std::{collections::HashMap, sync::LazyLock};

use modash_proto::v1::{Operation, UsageEvent};
use sha2::{Digest as _, Sha256};

/// Stands for all values beyond the limit of series.
pub(super) const OTHER: &str = "other";

static NO_TAGS: LazyLock<HashMap<String, String>> = LazyLock::new(HashMap::new);

/// Canonical form of a dimension set: equal for equal sets only.
pub(super) type Canonical = Box<[u8]>;

/// Which dimensions a set has. The numbers are part of the storage format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cube {
    /// All of them.
    Full = 0,
    /// None: the sum of everything.
    Total = 1,
    /// The model.
    Model = 2,
    /// The upstream.
    Upstream = 3,
    /// The client key.
    ClientKey = 4,
    /// The user.
    User = 5,
    /// All tags.
    Tags = 6,
    /// Model and upstream, for the sums of errors only.
    Errors = 7,
}

/// The cubes beside the full one.
pub(super) const NARROW: [Cube; 7] = [
    Cube::Total,
    Cube::Model,
    Cube::Upstream,
    Cube::ClientKey,
    Cube::User,
    Cube::Tags,
    Cube::Errors,
];

/// Places of client keys and errors in [`NARROW`].
pub(super) const CLIENT_KEY: usize = 3;
pub(super) const ERRORS: usize = 6;

/// The series of the cubes beside the full one, in the order of [`NARROW`].
pub(super) type NarrowIds = [i64; NARROW.len()];

/// A dimension set, borrowed from an event or a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dimensions<'a> {
    pub(super) cube: Cube,
    pub(super) model: Option<&'a str>,
    pub(super) upstream: &'a str,
    pub(super) dialect: &'a str,
    pub(super) operation: i16,
    pub(super) stream: bool,
    pub(super) client_key: Option<&'a str>,
    pub(super) user_name: Option<&'a str>,
    pub(super) user_agent_family: Option<&'a str>,
    pub(super) tags: &'a HashMap<String, String>,
}

impl<'a> From<&'a UsageEvent> for Dimensions<'a> {
    fn from(event: &'a UsageEvent) -> Self {
        Self {
            cube: Cube::Full,
            model: event.model.as_deref().or(event.model_requested.as_deref()),
            upstream: &event.upstream,
            dialect: &event.dialect,
            operation: i16::try_from(event.operation).unwrap_or_default(),
            stream: event.stream,
            client_key: event.client_key.as_deref(),
            user_name: event.user.as_deref(),
            user_agent_family: event.user_agent_family.as_deref(),
            tags: &event.tags,
        }
    }
}

impl<'a> Dimensions<'a> {
    /// The set with the dimensions of a cube only.
    pub(super) fn narrowed(self, cube: Cube) -> Self {
        let nothing = Dimensions {
            cube,
            model: None,
            upstream: "",
            dialect: "",
            operation: 0,
            stream: false,
            client_key: None,
            user_name: None,
            user_agent_family: None,
            tags: &NO_TAGS,
        };
        match cube {
            Cube::Full => self,
            Cube::Total => nothing,
            // Marked: those that name no model are calls of models.
            Cube::Model if self.calls_no_model() => {
                Dimensions { operation: Operation::Other as i16, ..nothing }
            }
            Cube::Model => Dimensions { model: self.model, ..nothing },
            Cube::Upstream => Dimensions { upstream: self.upstream, ..nothing },
            Cube::ClientKey => Dimensions { client_key: self.client_key, ..nothing },
            Cube::User => Dimensions { user_name: self.user_name, ..nothing },
            Cube::Tags => Dimensions { tags: self.tags, ..nothing },
            Cube::Errors => {
                Dimensions { upstream: self.upstream, ..self.narrowed(Cube::Model).in_cube(cube) }
            }
        }
    }

    fn in_cube(self, cube: Cube) -> Self {
        Dimensions { cube, ..self }
    }

    /// The set that stands for it beyond the limit of series: what callers can
    /// make up without bound becomes "other".
    pub(super) fn limited(self, models_too: bool) -> Dimensions<'a> {
        let other = |value: Option<&'a str>| value.map(|_| OTHER);
        Dimensions {
            model: if models_too { other(self.model) } else { self.model },
            client_key: other(self.client_key),
            user_name: other(self.user_name),
            user_agent_family: other(self.user_agent_family),
            tags: &NO_TAGS,
            ..self
        }
    }

    /// Whether its requests name no model and need none.
    pub(super) fn calls_no_model(self) -> bool {
        self.model.is_none() && calls_no_model(self.operation.into())
    }

    /// Whether its requests are due to report usage.
    pub(super) fn generates(self) -> bool {
        const GENERATING: [Operation; 3] =
            [Operation::Chat, Operation::Completion, Operation::Embedding];
        GENERATING.iter().any(|operation| *operation as i16 == self.operation)
    }

    /// Every part with its length before it, tags in the order of their names.
    pub(super) fn canonical(self, into: &mut Vec<u8>) {
        fn part(into: &mut Vec<u8>, text: Option<&str>) {
            // No text is as long as the length that stands for absence.
            let length = text.map_or(u32::MAX, |text| text.len() as u32);
            into.extend_from_slice(&length.to_be_bytes());
            into.extend_from_slice(text.unwrap_or_default().as_bytes());
        }
        into.clear();
        if self.cube != Cube::Full {
            // Nor as this one, so no full set begins like a narrow one.
            into.extend_from_slice(&(u32::MAX - 1).to_be_bytes());
            into.push(self.cube as u8);
        }
        part(into, self.model);
        part(into, Some(self.upstream));
        part(into, Some(self.dialect));
        into.extend_from_slice(&self.operation.to_be_bytes());
        into.push(self.stream.into());
        part(into, self.client_key);
        part(into, self.user_name);
        part(into, self.user_agent_family);
        let mut tags: Vec<_> = self.tags.iter().collect();
        tags.sort_unstable();
        for (name, value) in tags {
            part(into, Some(name));
            part(into, Some(value));
        }
    }
}

/// Whether requests of an operation that name no model need none: retrievals, lists,
/// files, probes.
pub(crate) fn calls_no_model(operation: i32) -> bool {
    [Operation::Other, Operation::Retrieval].iter().any(|free| *free as i32 == operation)
}

/// The id of the narrow series of a client key, unless another set has the same hash.
pub(super) fn id_of_client_key(client_key: &str) -> i64 {
    let event = UsageEvent { client_key: Some(client_key.to_owned()), ..UsageEvent::default() };
    let mut canonical = Vec::new();
    Dimensions::from(&event).narrowed(Cube::ClientKey).canonical(&mut canonical);
    id_of(&canonical, 0)
}

/// The id of a set: the first 64 bits of SHA-256. Part of the storage format.
pub(super) fn id_of(canonical: &[u8], attempt: u8) -> i64 {
    let mut hash = Sha256::new();
    hash.update(canonical);
    if attempt > 0 {
        hash.update([attempt]);
    }
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn canonical(event: &UsageEvent) -> Vec<u8> {
        let mut bytes = Vec::new();
        Dimensions::from(event).canonical(&mut bytes);
        bytes
    }

    #[test]
    fn sets_that_differ_have_different_canonical_forms() {
        let event = UsageEvent { upstream: "a".into(), ..UsageEvent::default() };
        let others = [
            UsageEvent { upstream: "ab".into(), ..event.clone() },
            UsageEvent { dialect: "a".into(), ..event.clone() },
            UsageEvent { model: Some(String::new()), ..event.clone() },
            UsageEvent { client_key: Some("a".into()), ..event.clone() },
            UsageEvent { user: Some("a".into()), ..event.clone() },
            UsageEvent { stream: true, ..event.clone() },
            UsageEvent { operation: 1, ..event.clone() },
            UsageEvent { tags: [("a".into(), String::new())].into(), ..event.clone() },
        ];
        let mut forms: HashSet<_> = others.iter().map(canonical).collect();
        forms.insert(canonical(&event));
        assert_eq!(forms.len(), others.len() + 1);
        for cube in NARROW {
            let mut bytes = Vec::new();
            Dimensions::from(&event).narrowed(cube).canonical(&mut bytes);
            assert!(forms.insert(bytes), "{cube:?}");
        }
    }

    #[test]
    fn the_order_of_tags_does_not_matter() {
        let tags = [("a", "1"), ("b", "2"), ("c", "3")].map(|(a, b)| (a.into(), b.into()));
        let mut reversed = tags.clone();
        reversed.reverse();
        let one = UsageEvent { tags: tags.into(), ..UsageEvent::default() };
        let other = UsageEvent { tags: reversed.into(), ..UsageEvent::default() };
        assert_eq!(canonical(&one), canonical(&other));
    }

    #[test]
    fn the_id_of_a_set_never_changes() {
        let event = UsageEvent {
            model: Some("qwen3-8b".into()),
            upstream: "default".into(),
            dialect: "openai-chat".into(),
            operation: 1,
            stream: true,
            ..UsageEvent::default()
        };
        assert_eq!(id_of(&canonical(&event), 0), 2_588_361_860_925_044_709);
        assert_ne!(id_of(&canonical(&event), 0), id_of(&canonical(&event), 1));
    }
}
