//! Signing in to the dashboard in a real browser.

use std::{path::Path, process::Command};

use modash_access::Role;
use modash_integration::Process;
use modash_test_support::TokensFile;

use crate::system::System;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_signs_in_and_out_and_has_to_sign_in_again_after_a_revocation() {
    let file = TokensFile::new();
    let token = file.add("mia", Role::Read);
    let directory = tempfile::tempdir().unwrap();
    let shown = directory.path().join("token");
    std::fs::write(&shown, token.expose()).unwrap();
    let system = System::start(file, &[]).await;
    let mut command = Command::new("node");
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web"))
        .args(["e2e/sign-in.mjs", &system.modash.gateway])
        .arg(&shown)
        .arg("mia");
    let browser = Process::spawn("browser test", command);
    browser.says("revoke now").await;
    system.tokens.revoke("mia");
    println!("{}", browser.succeeds().await);
}
