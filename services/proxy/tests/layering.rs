//! Which part of the proxy may know which: held against the paths in its sources.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The layers, lowest first, each with its modules. A module knows those of its own
/// layer and of lower ones.
const LAYERS: [(&str, &[&str]); 9] = [
    ("ground", &["fault", "frames", "stream", "vital"]),
    ("settings", &["settings"]),
    ("counters", &["counters"]),
    ("upstream", &["upstream"]),
    ("exchange", &["client_key", "exchange", "request_facts", "trace_context", "usage_event"]),
    ("journal", &["emit"]),
    ("relay", &["activity", "asking", "bridge", "core", "error", "relay", "route"]),
    ("listener", &["listener"]),
    ("top", &["lib", "main", "metrics", "probe"]),
];

/// Within a layer: a module and those of its layer that it may know, so that there are no
/// circles.
const WITHIN: [(&str, &[&str]); 9] = [
    ("exchange", &["client_key", "request_facts", "trace_context"]),
    ("usage_event", &["client_key", "exchange", "request_facts", "trace_context"]),
    ("asking", &["route"]),
    ("core", &["asking", "route"]),
    ("relay", &["activity", "asking", "core", "error", "route"]),
    ("bridge", &["core", "relay"]),
    ("error", &[]),
    ("route", &[]),
    ("lib", &["metrics"]),
];

/// Modules of the crate that a module's files name, each with the file.
type Known = BTreeMap<String, BTreeMap<String, PathBuf>>;

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The module at the root of the crate that a file belongs to.
fn module(file: &Path) -> String {
    let first = file.components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The code of a file, without its tests and without comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The first names behind each `crate::`, and behind each `super::` that leads from a
/// file at the root or in a folder to the root.
fn names(code: &str, depth: usize) -> BTreeSet<String> {
    let root = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for path in ["crate::", root.as_str()].into_iter().filter(|path| !path.is_empty()) {
        for (at, _) in code.match_indices(path) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|before| before.is_alphanumeric() || "_:".contains(before)) {
                continue;
            }
            found.extend(first_names(&code[at + path.len()..]));
        }
    }
    found.remove("self");
    found.remove("super");
    found
}

/// `a::b` gives `a`; `{a, b::{c, d}}` gives `a` and `b`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn known() -> Known {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut known = Known::new();
    for file in files {
        let place = file.strip_prefix(&root).unwrap();
        let tests = place.file_stem().is_some_and(|name| name == "tests")
            || place.components().any(|part| part.as_os_str() == "tests");
        // Measured by a test.
        if tests || place == Path::new("emit/cost.rs") {
            continue;
        }
        let module = module(place);
        let of_module = known.entry(module.clone()).or_default();
        let depth = place.components().count();
        for name in names(&code(&fs::read_to_string(&file).unwrap()), depth) {
            if name != module {
                of_module.entry(name).or_insert_with(|| place.to_owned());
            }
        }
    }
    known
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, modules)| modules.contains(&module))
}

#[test]
fn every_module_has_a_layer() {
    let found = known();
    for module in found.keys() {
        assert!(layer(module).is_some(), "{module} came: decide in which layer it is");
    }
    for module in LAYERS.iter().flat_map(|(_, modules)| *modules) {
        assert!(found.contains_key(*module), "{module} went: take it out of its layer");
    }
}

#[test]
fn a_module_knows_its_own_layer_and_lower_ones() {
    let mut broken = Vec::new();
    for (module, names) in known() {
        let own = layer(&module).unwrap_or_default();
        for (name, file) in names {
            let Some(other) = layer(&name) else { continue };
            let within = WITHIN.iter().find(|(name, _)| *name == module);
            let allowed = own > other
                || own == other && within.is_some_and(|(_, names)| names.contains(&name.as_str()));
            if !allowed {
                let (own, other) = (LAYERS[own].0, LAYERS[other].0);
                broken.push(format!(
                    "{}: {module} ({own}) must not know {name} ({other})",
                    file.display()
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn paths_are_found_in_every_form() {
    let code = "use crate::{\n    a::{b, c},\n    d,\n};\nlet x = crate::e::f();\nuse super::g::h;\n\
                pub(in crate::i) fn j() {}\nuse super::super::k;";
    let names: Vec<_> = names(code, 1).into_iter().collect();
    assert_eq!(names, ["a", "d", "e", "g", "i"]);
    assert!(self::names(code, 2).contains("k"));
}
