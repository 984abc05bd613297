//! The secret behind the fingerprints of credentials: one for each
//! installation, made at the first start and kept beside the database.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// The secret of this installation. If it cannot be kept, fingerprints differ
/// from start to start, which is said and does no other harm.
pub(crate) fn load(directory: &Path) -> Option<Vec<u8>> {
    let path = directory.join("client-key-secret");
    load_or_make(&path)
        .inspect_err(|error| {
            tracing::warn!(%error, path = %path.display(),
                "the secret for client keys cannot be kept; they will change at the next start");
        })
        .ok()
}

fn load_or_make(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Ok(secret) if secret.len() >= 32 => return Ok(secret),
        Ok(_) => return Err(io::Error::other("the file is too short; remove it")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut secret = [0; 32];
    rand::fill(&mut secret[..]);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    Ok(secret.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_secret_is_made_once_and_only_its_owner_can_read_it() {
        let directory = std::env::temp_dir().join(format!("modash-secret-{}", std::process::id()));
        let first = load(&directory).unwrap();
        assert_eq!(load(&directory), Some(first));
        let mode = fs::metadata(directory.join("client-key-secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(directory).unwrap();
    }
}
