//! Which crate may know which: held against `cargo metadata`.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A crate and the members of the workspace that its code may use.
const ALLOWED: [(&str, &[&str]); 19] = [
    ("modash-proto", &[]),
    ("modash-proto-generate", &[]),
    ("modash-example", &["modash-proto"]),
    ("modash-telemetry", &[]),
    ("modash-runtime", &["modash-telemetry"]),
    ("modash-access", &["modash-runtime"]),
    ("modash-histogram", &[]),
    ("modash-http1", &[]),
    ("modash-metering", &["modash-histogram"]),
    ("modash-prices", &[]),
    (
        "modash-proxy",
        &[
            "modash-access",
            "modash-histogram",
            "modash-http1",
            "modash-metering",
            "modash-proto",
            "modash-runtime",
            "modash-telemetry",
        ],
    ),
    (
        "modash-analytics",
        &[
            "modash-access",
            "modash-histogram",
            "modash-prices",
            "modash-proto",
            "modash-runtime",
            "modash-telemetry",
        ],
    ),
    ("modash-gateway", &["modash-access", "modash-proto", "modash-runtime", "modash-telemetry"]),
    ("modash-embedded-postgres", &[]),
    ("modash-simulator", &["modash-histogram", "modash-runtime"]),
    (
        "modash",
        &[
            "modash-access",
            "modash-analytics",
            "modash-embedded-postgres",
            "modash-gateway",
            "modash-histogram",
            "modash-proto",
            "modash-proxy",
            "modash-runtime",
            "modash-simulator",
        ],
    ),
    ("modash-test-support", &["modash-access", "modash-embedded-postgres", "modash-proto"]),
    ("modash-bench", &["modash-embedded-postgres", "modash-runtime", "modash-simulator"]),
    (
        "modash-integration",
        &["modash-access", "modash-embedded-postgres", "modash-proto", "modash-test-support"],
    ),
];

/// A library and the only crates whose code may use it.
const RESERVED: [(&str, &[&str]); 6] = [
    ("rustls", &["modash-runtime", "modash-telemetry", "modash-test-support"]),
    ("sqlx", &["modash-analytics"]),
    ("prost-reflect", &["modash-gateway"]),
    ("axum", &["modash-gateway", "modash-runtime"]),
    (
        "hyper",
        &[
            "modash-gateway",
            "modash-proxy",
            // Sends webhooks.
            "modash-analytics",
            "modash-simulator",
            "modash-bench",
            "modash-telemetry",
            "modash-test-support",
            "modash-integration",
        ],
    ),
    (
        "tonic",
        &[
            "modash-proto",
            "modash-proxy",
            "modash-analytics",
            "modash-gateway",
            "modash",
            "modash-example",
            "modash-telemetry",
            "modash-test-support",
            "modash-integration",
        ],
    ),
];

/// Crates that get bytes and times from their callers.
const WITHOUT_IO: [&str; 4] =
    ["modash-histogram", "modash-http1", "modash-metering", "modash-prices"];

/// Libraries that do IO, keep time or run tasks.
const IO: [&str; 8] =
    ["tokio", "tokio-util", "futures-util", "hyper", "hyper-util", "tonic", "rustix", "socket2"];

/// Crates that only tests may use.
const FOR_TESTS: [&str; 3] = ["modash-test-support", "modash-integration", "modash-proto-generate"];

type Dependencies = BTreeMap<String, BTreeSet<String>>;

/// Normal dependencies of every member of the workspace.
fn dependencies() -> Dependencies {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
            (name(package), normal.map(name).collect())
        })
        .collect()
}

#[test]
fn every_crate_knows_only_what_the_design_allows() {
    let found = dependencies();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    assert_eq!(
        found.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        allowed.keys().copied().collect::<BTreeSet<_>>(),
        "a crate came or went: decide what it may know"
    );
    for (name, dependencies) in &found {
        for dependency in dependencies.iter().filter(|dependency| found.contains_key(*dependency)) {
            assert!(
                allowed[name.as_str()].contains(&dependency.as_str()),
                "{name} must not know {dependency}"
            );
        }
    }
}

#[test]
fn a_reserved_library_stays_with_its_crates() {
    for (name, dependencies) in dependencies() {
        for (library, users) in RESERVED {
            assert!(
                !dependencies.contains(library) || users.contains(&name.as_str()),
                "{name} must not use {library}"
            );
        }
    }
}

#[test]
fn a_crate_without_io_uses_no_library_that_does_it() {
    let found = dependencies();
    for name in WITHOUT_IO {
        for library in IO {
            assert!(!found[name].contains(library), "{name} must not use {library}");
        }
    }
}

#[test]
fn test_crates_are_used_by_tests_only() {
    for (name, dependencies) in dependencies() {
        for test_crate in FOR_TESTS {
            assert!(
                !dependencies.contains(test_crate) || FOR_TESTS.contains(&name.as_str()),
                "{name} must not use {test_crate} outside its tests"
            );
        }
    }
}

/// All sources in a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let within = folders.iter().flat_map(|folder| sources(folder));
    files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "rs"))
        .chain(within)
        .collect()
}

/// A file that no module names is not compiled, and nothing else says so.
#[test]
fn every_source_file_is_a_module_of_its_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let services = fs::read_dir(root.join("services")).unwrap();
    let crates = services.map(|entry| entry.unwrap().path()).chain([root.join("proto")]);
    let mut orphans = Vec::new();
    for source in crates.map(|crate_| crate_.join("src")).filter(|source| source.is_dir()) {
        for file in sources(&source) {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let folder = file.parent().unwrap();
            let parents = if folder == source {
                ["lib.rs", "main.rs"].map(|root| folder.join(root))
            } else {
                [folder.with_extension("rs"), folder.join("mod.rs")]
            };
            let declared = parents.iter().any(|parent| {
                let text = fs::read_to_string(parent).unwrap_or_default();
                text.lines().any(|line| line.trim_end().ends_with(&format!("mod {name};")))
            });
            if !declared && !matches!(name.as_str(), "lib" | "main" | "mod") {
                orphans.push(file);
            }
        }
    }
    assert!(orphans.is_empty(), "no module names {orphans:#?}");
}
