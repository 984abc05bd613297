//! Saved views of the dashboard: a name and an address within it.

use chrono::Utc;
use modash_access::Scope;
use modash_proto::{
    Reason, Violations, timestamp_from_micros,
    v1::{
        DeleteViewRequest, DeleteViewResponse, ListViewsResponse, SaveViewRequest,
        SaveViewResponse, SavedView,
    },
};

use super::Queries;
use crate::{
    error::Failure,
    name::check_text,
    store::{MAX_VIEWS, ViewRow},
};

/// Longest name in bytes.
const MAX_NAME_BYTES: usize = 80;

/// Longest path in bytes.
const MAX_PATH_BYTES: usize = 4_000;

impl Queries {
    pub(super) async fn answer_list_views(
        &self,
        scope: Scope,
    ) -> Result<ListViewsResponse, Failure> {
        if !scope.is_everything() {
            return Ok(ListViewsResponse::default());
        }
        let views = self.store.views().await?;
        Ok(ListViewsResponse { views: views.into_iter().map(wire).collect() })
    }

    pub(super) async fn answer_save_view(
        &self,
        request: SaveViewRequest,
    ) -> Result<SaveViewResponse, Failure> {
        let SaveViewRequest { name, path } = request;
        let mut violations = Violations::default();
        check_text("name", &name, MAX_NAME_BYTES, &mut violations);
        if path.len() > MAX_PATH_BYTES || !is_path(&path) {
            let text = format!(
                "must be the page and query of a dashboard address, beginning with one \"/\", of \
                 at most {MAX_PATH_BYTES} bytes"
            );
            violations.add("path", text);
        }
        violations.into_result()?;
        let view = ViewRow { name, path, saved_at: Utc::now() };
        if !self.store.save_view(&view).await? {
            let text = format!("{MAX_VIEWS} views are saved, which is the most: delete one first");
            return Err(Reason::TooManyKept.status(text).into());
        }
        tracing::info!(view = view.name, "view saved");
        Ok(SaveViewResponse { view: Some(wire(view)) })
    }

    pub(super) async fn answer_delete_view(
        &self,
        request: DeleteViewRequest,
    ) -> Result<DeleteViewResponse, Failure> {
        let mut violations = Violations::default();
        check_text("name", &request.name, MAX_NAME_BYTES, &mut violations);
        violations.into_result()?;
        self.store.delete_view(&request.name).await?;
        tracing::info!(view = request.name, "view deleted");
        Ok(DeleteViewResponse {})
    }
}

/// Whether a browser stays on the dashboard when it goes there: "//" and "/\" lead to
/// other hosts.
fn is_path(path: &str) -> bool {
    let plain = |letter: char| !letter.is_control() && !letter.is_whitespace() && letter != '\\';
    path.starts_with('/') && !path.starts_with("//") && path.chars().all(plain)
}

fn wire(view: ViewRow) -> SavedView {
    let saved_at = Some(timestamp_from_micros(view.saved_at.timestamp_micros()));
    SavedView { name: view.name, path: view.path, saved_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_leads_to_no_other_site() {
        for path in ["/", "/requests?status=error&not.model=a%20b", "/models/org%2Fa"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["", "requests", "//evil.example", "/\\evil.example", "javascript:alert(1)"] {
            assert!(!is_path(path), "{path}");
        }
        for path in ["/a b", "/\t/evil.example", "https://evil.example/"] {
            assert!(!is_path(path), "{path}");
        }
    }
}
