//! Writes what is generated from the .proto files, without protoc. It is checked in, so
//! that nobody who builds modash compiles generators, a compiler for .proto files among
//! them: 40 crates, some of them a second time.

use std::{error::Error, fs, path::Path};

use prost::Message as _;

/// The contract, from the folder `proto`.
const FILES: [&str; 5] = [
    "modash/v1/usage_event.proto",
    "modash/v1/query.proto",
    "modash/v1/budget.proto",
    "modash/v1/ingest_service.proto",
    "modash/v1/analytics_service.proto",
];

/// What [`generate`] writes.
pub const NAMES: [&str; 2] = ["modash.v1.rs", "descriptors.bin"];

/// Writes messages and services, and the encoded `FileDescriptorSet` with all comments,
/// from the contract in `proto`.
///
/// # Errors
/// If the contract has mistakes, or a file cannot be written.
pub fn generate(proto: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(FILES, [proto])?;
    fs::write(to.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().out_dir(to).compile_fds(descriptors)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    #[test]
    fn every_proto_file_is_part_of_the_contract() -> Result<(), Box<dyn Error>> {
        let mut found: Vec<_> = fs::read_dir(proto().join("modash/v1"))?
            .map(|entry| Ok(format!("modash/v1/{}", entry?.file_name().to_string_lossy())))
            .collect::<Result<_, std::io::Error>>()?;
        found.sort();
        let mut named = FILES;
        named.sort_unstable();
        assert_eq!(found, named);
        Ok(())
    }

    #[test]
    fn the_generated_code_is_that_of_the_proto_files() -> Result<(), Box<dyn Error>> {
        let checked_in = proto().join("generated");
        if std::env::var_os("MODASH_TEST_WRITE").is_some() {
            return generate(proto(), &checked_in);
        }
        let fresh = tempfile::tempdir()?;
        generate(proto(), fresh.path())?;
        for name in NAMES {
            let same = fs::read(fresh.path().join(name))? == fs::read(checked_in.join(name))?;
            assert!(
                same,
                "proto/generated/{name} is not that of the .proto files; write it anew with \
                 MODASH_TEST_WRITE=1 cargo test -p modash-proto-generate"
            );
        }
        Ok(())
    }
}
