//! The dashboard's files: embedded at build time, or from a folder. Hashed
//! names are kept for ever, everything else is asked for anew by its ETag;
//! pages of the dashboard's own router get `index.html`.

mod file;

use std::{collections::HashMap, path::PathBuf};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
        CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, VARY,
    },
    request::Parts,
};

use crate::{
    media_type::{accepts, coding_quality},
    page::Page,
};
pub(crate) use file::File;

/// Files of `web/dist` with their paths; empty if it was not built.
const EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));
/// Shown in place of a dashboard that was not built.
const PLACEHOLDER: &str = include_str!("assets/placeholder.html");

/// The file that every page of the dashboard is.
const PAGE: &str = "index.html";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Paths that never show the page: a client of an interface must see that it
/// asked in vain.
const NOT_PAGES: [&str; 7] =
    ["/rpc", "/events", "/v1", "/modash.", "/assets", "/healthz", "/metrics"];

/// Where the files come from.
#[derive(Debug)]
pub(crate) enum Assets {
    /// From the executable.
    Embedded(HashMap<String, File>),
    /// Read anew for each request, so that a new build shows at once.
    Folder(PathBuf),
}

impl Assets {
    /// The files that were there when the gateway was built.
    pub(crate) fn embedded() -> Self {
        let files: HashMap<&str, &'static [u8]> = EMBEDDED.iter().copied().collect();
        if !files.contains_key("index.html") {
            let page = File::new("index.html", PLACEHOLDER.as_bytes().into(), None, None);
            return Self::Embedded([("index.html".to_owned(), page)].into());
        }
        let of = |name: String| files.get(name.as_str()).map(|content| (*content).into());
        let whole = files.iter().filter(|(name, _)| !file::is_packed(name));
        Self::Embedded(
            whole
                .map(|(name, content)| {
                    let (br, gzip) = (of(format!("{name}.br")), of(format!("{name}.gz")));
                    ((*name).to_owned(), File::new(name, (*content).into(), br, gzip))
                })
                .collect(),
        )
    }

    async fn find(&self, name: &str) -> Option<File> {
        match self {
            Self::Embedded(files) => files.get(name).cloned(),
            Self::Folder(folder) => File::read(folder, name).await,
        }
    }
}

/// Serves a file, the page, or 404.
pub(crate) async fn serve(
    assets: &Assets,
    page: &Page,
    viewer: Option<&str>,
    request: &Parts,
) -> Response {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]).into_response();
    }
    let path = request.uri.path();
    let mut name = match path.trim_start_matches('/') {
        "" => PAGE,
        name => name,
    };
    let mut found = assets.find(name).await;
    if found.is_none() && is_page(path, &request.headers) {
        name = PAGE;
        found = assets.find(name).await;
    }
    match found {
        Some(file) if name == PAGE => answer(&page.fill(&file, viewer), page, path, request),
        Some(file) => answer(&file, page, path, request),
        None => {
            (StatusCode::NOT_FOUND, [(CACHE_CONTROL, "no-cache")], "not found\n").into_response()
        }
    }
}

/// Pages whose last part is a model's name, which may have dots.
const MODEL_PAGES: &str = "/models/";

/// Whether a browser navigates to a place that the page's own router knows.
pub(crate) fn is_page(path: &str, headers: &HeaderMap) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    headers.contains_key(ACCEPT)
        && accepts(headers, "text/html")
        && (!last.contains('.') || path.starts_with(MODEL_PAGES))
        && !NOT_PAGES.iter().any(|prefix| path.starts_with(prefix))
}

fn answer(file: &File, page: &Page, path: &str, request: &Parts) -> Response {
    let headers = &request.headers;
    let form = file.best_form(|coding| coding_quality(headers, coding));
    let mut response = Response::new(Body::empty());
    let out = response.headers_mut();
    let forever = path.starts_with("/assets/");
    let cache = if forever { "public, max-age=31536000, immutable" } else { "no-cache" };
    out.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    out.insert(VARY, HeaderValue::from_static("accept-encoding"));
    out.insert(CONTENT_SECURITY_POLICY, page.policy());
    out.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    out.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    if let Ok(etag) = form.etag.parse() {
        out.insert(ETAG, etag);
    }
    if is_known(headers, &form.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    out.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    out.insert(CONTENT_LENGTH, HeaderValue::from(form.content.len()));
    if form.coding != file::IDENTITY {
        out.insert(CONTENT_ENCODING, HeaderValue::from_static(form.coding));
    }
    if request.method == Method::GET {
        *response.body_mut() = Body::from(form.content.clone());
    }
    response
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == "*" || known == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_no_dot_but_models_may() {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/html"))]);
        for path in ["/requests", "/models/gpt-4.1", "/models/org%2Fllama-3.3"] {
            assert!(is_page(path, &headers), "{path}");
        }
        for path in ["/missing.js", "/assets/models/a.js", "/rpc"] {
            assert!(!is_page(path, &headers), "{path}");
        }
    }
}
