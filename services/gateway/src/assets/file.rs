//! One file of the dashboard in up to three forms: as it is, and packed with
//! brotli or gzip when the dashboard was built.

use std::path::Path;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// The coding of a file as it is.
pub(crate) const IDENTITY: &str = "identity";

/// A file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// By the extension of its name.
    pub(crate) content_type: &'static str,
    /// The file as it is, then its packed forms.
    forms: Vec<Form>,
}

/// One form of a file.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// `identity`, `br` or `gzip`.
    pub(crate) coding: &'static str,
    /// Strong: differs with content and coding.
    pub(crate) etag: String,
    /// Bytes to send.
    pub(crate) content: Bytes,
}

impl File {
    /// A file with the packed forms that there are.
    pub(crate) fn new(name: &str, content: Bytes, br: Option<Bytes>, gzip: Option<Bytes>) -> Self {
        let hash: String =
            Sha256::digest(&content).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let forms = [(IDENTITY, Some(content)), ("br", br), ("gzip", gzip)];
        let forms = forms.into_iter().filter_map(|(coding, content)| {
            Some(Form { coding, etag: format!("\"{hash}-{coding}\""), content: content? })
        });
        Self { content_type: content_type(name), forms: forms.collect() }
    }

    /// The file as it is.
    pub(crate) fn content(&self) -> &[u8] {
        &self.forms[0].content
    }

    /// From a folder; `None` if there is no such file or its name leads out of
    /// the folder.
    pub(crate) async fn read(folder: &Path, name: &str) -> Option<Self> {
        let inside =
            |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\\');
        if !name.split('/').all(inside) || is_packed(name) {
            return None;
        }
        let read = async |suffix: &str| {
            tokio::fs::read(folder.join(format!("{name}{suffix}"))).await.ok().map(Bytes::from)
        };
        Some(Self::new(name, read("").await?, read(".br").await, read(".gz").await))
    }

    /// The form that a client likes best by the q-values of the codings; of
    /// equals the smaller one.
    pub(crate) fn best_form(&self, quality: impl Fn(&str) -> u16) -> &Form {
        let rank = |form: &&Form| match form.coding {
            // Always acceptable, if nothing else is.
            IDENTITY => (quality(IDENTITY).max(1), 0),
            "gzip" => (quality("gzip"), 1),
            coding => (quality(coding), 2),
        };
        // `forms` begins with the file as it is.
        self.forms.iter().max_by_key(rank).unwrap_or(&self.forms[0])
    }
}

/// Whether a file is the packed form of another one.
pub(crate) fn is_packed(name: &str) -> bool {
    name.ends_with(".br") || name.ends_with(".gz")
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_chosen_by_the_clients_wishes() {
        let packed = Some(Bytes::from_static(b"x"));
        let file = File::new("a.js", Bytes::from_static(b"xxx"), packed.clone(), packed);
        let chosen = |wishes: &[(&str, u16)]| {
            let wish = |coding: &str| {
                wishes.iter().find(|(name, _)| *name == coding).map_or(0, |(_, quality)| *quality)
            };
            file.best_form(wish).coding
        };
        assert_eq!(chosen(&[]), IDENTITY);
        assert_eq!(chosen(&[("gzip", 1000)]), "gzip");
        assert_eq!(chosen(&[("gzip", 1000), ("br", 1000)]), "br");
        assert_eq!(chosen(&[("gzip", 1000), ("br", 500)]), "gzip");
        assert_eq!(chosen(&[("gzip", 100), (IDENTITY, 1000)]), IDENTITY);
    }

    #[tokio::test]
    async fn a_name_cannot_lead_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("dist");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(folder.path().join("secret.txt"), "s").unwrap();
        std::fs::write(inner.join("index.html"), "i").unwrap();
        assert!(File::read(&inner, "index.html").await.is_some());
        for name in
            ["../secret.txt", "./index.html", "x/../index.html", "/etc/hostname", "..\\secret.txt"]
        {
            assert!(File::read(&inner, name).await.is_none(), "{name}");
        }
    }
}
