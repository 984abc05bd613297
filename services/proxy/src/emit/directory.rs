//! Where a spool is: for each replica a directory.

use std::path::{Path, PathBuf};

/// Longest name of a directory, less a checksum for what is cut off.
const MAX_NAME: usize = 200;

/// The directory of one replica. Different replicas have different ones, also
/// if their ids are no good as names of files.
pub(crate) fn directory_of(spools: &Path, replica_id: &str) -> PathBuf {
    let mut name = String::new();
    for (place, byte) in replica_id.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if place > 0 => name.push('.'),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.len() > MAX_NAME {
        name.truncate(MAX_NAME);
        name.push_str(&format!("~{:08x}", crc32fast::hash(replica_id.as_bytes())));
    }
    spools.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_replica_has_a_directory_of_its_own_inside() {
        let name = |id: &str| directory_of(Path::new("/s"), id);
        assert_eq!(name("host.example-4005"), Path::new("/s/host.example-4005"));
        assert_eq!(name(".."), Path::new("/s/%2E."));
        assert_eq!(name("a/b c"), Path::new("/s/a%2Fb%20c"));
        assert_eq!(name("é"), Path::new("/s/%C3%A9"));
        let (one, other) = (name(&("/".repeat(127) + "1")), name(&("/".repeat(127) + "2")));
        assert_ne!(one, other);
        assert!(one.file_name().unwrap().len() < 255);
    }
}
