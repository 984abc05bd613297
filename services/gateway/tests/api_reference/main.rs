//! `docs/api.md` and `docs/openapi.json` are made from the contract and its comments.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(test)]
mod contract;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod page;
#[cfg(test)]
mod schemas;

#[cfg(test)]
use contract::Contract;

/// Compares a file of `docs` with what the contract says, or writes it anew.
#[cfg(test)]
fn is_fresh(name: &str, text: &str) {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("MODASH_TEST_WRITE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/{name} is old; write it anew with \
         `MODASH_TEST_WRITE=1 cargo test --workspace --test api_reference`"
    );
}

#[test]
fn the_page_says_what_the_contract_says() {
    is_fresh("api.md", &page::page(&Contract::new()));
}

#[test]
fn the_openapi_description_says_what_the_contract_says() {
    is_fresh("openapi.json", &openapi::text(&Contract::new()));
}

#[test]
fn every_part_of_the_contract_has_a_comment() {
    let silent = Contract::new().without_comment();
    assert!(silent.is_empty(), "these have no comment: {silent:?}");
}

#[test]
fn every_limit_is_one_of_a_field() {
    let unknown = schemas::limits_of_no_field(&Contract::new());
    assert!(unknown.is_empty(), "these fields do not exist: {unknown:?}");
}
