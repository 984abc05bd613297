//! Where a service has the token that it shows to another one.

use std::{
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::Token;

/// Largest file that is read for a token.
const MAX_BYTES: u64 = 4_096;

/// A token, or the file that holds one. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The token itself.
    Token(Token),
    /// A file with nothing but the token, read each time, so that a replaced one is
    /// followed.
    File(PathBuf),
}

impl TokenSource {
    /// From a setting that holds the token, and one that names a file.
    ///
    /// # Errors
    /// If both are set, or the first is no token. The file is not looked at: it may be
    /// made later.
    pub fn from_settings(
        token: Option<&str>,
        file: Option<&Path>,
    ) -> Result<Option<Self>, &'static str> {
        match (token, file) {
            (Some(_), Some(_)) => Err("is set twice, by value and by file; choose one"),
            (Some(text), None) => Token::parse(text.trim())
                .map(|token| Some(Self::Token(token)))
                .ok_or("must be a token made by `modash token new` (modash_…), unchanged"),
            (None, file) => Ok(file.map(|file| Self::File(file.to_owned()))),
        }
    }

    /// The value of the `authorization` header.
    ///
    /// # Errors
    /// If the file cannot be read or holds no token.
    pub fn authorization(&self) -> Result<String, String> {
        let header = |token: &Token| format!("Bearer {}", token.expose());
        let path = match self {
            Self::Token(token) => return Ok(header(token)),
            Self::File(path) => path,
        };
        let mut text = String::new();
        File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)).map_err(
            |error| format!("the token file {} cannot be read: {error}", path.display()),
        )?;
        let token = Token::parse(text.trim());
        token.as_ref().map(header).ok_or_else(|| {
            format!("the file {} holds no token of `modash token new`", path.display())
        })
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(token) => write!(f, "{token:?}"),
            Self::File(path) => write!(f, "TokenSource({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_from_its_setting_or_its_file() {
        let token = Token::generate();
        let expected = format!("Bearer {}", token.expose());
        let of = |text, file| TokenSource::from_settings(text, file);
        let source = of(Some(token.expose()), None).unwrap().unwrap();
        assert_eq!(source.authorization(), Ok(expected.clone()));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let source = of(None, Some(&path)).unwrap().unwrap();
        assert!(source.authorization().unwrap_err().contains("cannot be read"));
        std::fs::write(&path, format!("{}\n", token.expose())).unwrap();
        assert_eq!(source.authorization(), Ok(expected));
        std::fs::write(&path, "secret").unwrap();
        let error = source.authorization().unwrap_err();
        assert!(error.contains("holds no token") && !error.contains("secret"), "{error}");
        assert_eq!(of(None, None), Ok(None));
        assert!(of(Some("modash_x"), None).is_err());
        assert!(of(Some(token.expose()), Some(&path)).is_err());
    }
}
