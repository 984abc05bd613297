//! What is generated from the .proto files is checked in, so that nobody who builds modash
//! compiles generators, a compiler for .proto files among them: 40 crates, some of them a
//! second time. Needs no protoc.

use std::{error::Error, fs, path::Path};

use prost::Message as _;

const FILES: [&str; 5] = [
    "modash/v1/usage_event.proto",
    "modash/v1/query.proto",
    "modash/v1/budget.proto",
    "modash/v1/ingest_service.proto",
    "modash/v1/analytics_service.proto",
];

const NAMES: [&str; 2] = ["modash.v1.rs", "descriptors.bin"];

fn generate(folder: &Path) -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(FILES, [env!("CARGO_MANIFEST_DIR")])?;
    fs::write(folder.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().out_dir(folder).compile_fds(descriptors)?;
    Ok(())
}

#[test]
fn every_proto_file_is_compiled() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("modash/v1");
    let mut found: Vec<_> = fs::read_dir(folder)?
        .map(|entry| Ok(format!("modash/v1/{}", entry?.file_name().to_string_lossy())))
        .collect::<Result<_, std::io::Error>>()?;
    found.sort();
    let mut compiled = FILES;
    compiled.sort_unstable();
    assert_eq!(found, compiled);
    Ok(())
}

#[test]
fn the_generated_code_is_that_of_the_proto_files() -> Result<(), Box<dyn Error>> {
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated");
    if std::env::var_os("MODASH_TEST_WRITE").is_some() {
        return generate(&checked_in);
    }
    let fresh = tempfile::tempdir()?;
    generate(fresh.path())?;
    for name in NAMES {
        let same = fs::read(fresh.path().join(name))? == fs::read(checked_in.join(name))?;
        assert!(
            same,
            "proto/src/generated/{name} is not that of the .proto files; write it anew with \
             MODASH_TEST_WRITE=1 cargo test --workspace --test generated"
        );
    }
    Ok(())
}
