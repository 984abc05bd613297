//! That the prices modash comes with are whole, sourced and versioned.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use modash_prices::PriceList;
use sha2::{Digest, Sha256};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../prices"))
}

fn built_in() -> PriceList {
    PriceList::parse(PriceList::built_in_files().iter().copied()).unwrap()
}

#[test]
fn every_file_of_the_folder_is_built_in() {
    let listed: BTreeSet<String> =
        PriceList::built_in_files().iter().map(|(name, _)| (*name).to_owned()).collect();
    let found: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .map(|name| format!("prices/{name}"))
        .collect();
    assert_eq!(listed, found);
}

#[test]
fn every_price_has_a_source_and_a_date() {
    for entry in built_in().entries() {
        assert!(entry.source().is_some() && entry.date().is_some(), "{entry}");
    }
}

#[test]
fn every_file_begins_with_a_comment() {
    for (name, text) in PriceList::built_in_files() {
        assert!(text.starts_with("# "), "{name}");
    }
}

/// `MODASH_TEST_WRITE=1 cargo test -p modash-prices --test built_in` writes the next one.
#[test]
fn the_version_changes_with_the_prices() {
    let mut digest = Sha256::new();
    for (name, text) in PriceList::built_in_files() {
        digest.update(name);
        digest.update(text);
    }
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder().join("VERSION");
    let text = fs::read_to_string(&path).unwrap();
    let (version, known) = text.trim_end().split_once('\n').unwrap();
    if known == digest {
        assert_eq!(PriceList::built_in().version(), version);
        return;
    }
    let newest = built_in().entries().filter_map(modash_prices::Entry::date).max().unwrap();
    let (day, revision) = version.split_once('.').unwrap();
    let day = newest.to_string().max(day.to_owned());
    let revision = if version.starts_with(&day) { revision.parse::<u32>().unwrap() + 1 } else { 1 };
    if std::env::var_os("MODASH_TEST_WRITE").is_some() {
        fs::write(&path, format!("{day}.{revision}\n{digest}\n")).unwrap();
        return;
    }
    panic!(
        "the prices changed and prices/VERSION did not: it must say {day}.{revision}, then {digest}"
    );
}
