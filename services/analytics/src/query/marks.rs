//! Marks: moments that charts show, such as deployments.

use chrono::{DateTime, Utc};
use modash_proto::{
    TimeRange, Violations, micros_from_timestamp, timestamp_from_micros,
    v1::{
        AddMarkRequest, AddMarkResponse, DeleteMarkRequest, DeleteMarkResponse, ListMarksRequest,
        ListMarksResponse, Mark,
    },
};
use uuid::Uuid;

use super::Queries;
use crate::{error::Failure, name::check_text, store::MarkRow};

/// Longest text in bytes.
const MAX_TEXT_BYTES: usize = 200;

/// Longest link in bytes.
const MAX_LINK_BYTES: usize = 500;

impl Queries {
    pub(super) async fn answer_list_marks(
        &self,
        request: ListMarksRequest,
    ) -> Result<ListMarksResponse, Failure> {
        let mut violations = Violations::default();
        let range = TimeRange::from_wire(request.range.as_ref(), Utc::now())
            .map_err(|(field, problem)| violations.add(field, problem));
        violations.into_result()?;
        let Ok(range) = range else { return Ok(ListMarksResponse::default()) };
        let marks = self.store.marks(range).await?;
        Ok(ListMarksResponse { marks: marks.into_iter().map(wire).collect() })
    }

    pub(super) async fn answer_add_mark(
        &self,
        request: AddMarkRequest,
    ) -> Result<AddMarkResponse, Failure> {
        let mut violations = Violations::default();
        check_text("text", &request.text, MAX_TEXT_BYTES, &mut violations);
        if !request.link.is_empty() && !is_link(&request.link) {
            let text = format!(
                "must begin with https:// or http:// and have at most {MAX_LINK_BYTES} bytes, \
                 without spaces"
            );
            violations.add("link", text);
        }
        let marked_at = match &request.marked_at {
            None => Some(Utc::now()),
            Some(at) => {
                let at = micros_from_timestamp(at).and_then(DateTime::from_timestamp_micros);
                violations.check("marked_at", at.ok_or("must be a moment of the years 1 to 9999"))
            }
        };
        violations.into_result()?;
        let mark = MarkRow {
            mark_id: Uuid::now_v7(),
            marked_at: marked_at.unwrap_or_else(Utc::now),
            text: request.text,
            link: Some(request.link).filter(|link| !link.is_empty()),
        };
        self.store.add_mark(&mark).await?;
        tracing::info!(mark = mark.text, "mark set");
        Ok(AddMarkResponse { mark: Some(wire(mark)) })
    }

    pub(super) async fn answer_delete_mark(
        &self,
        request: DeleteMarkRequest,
    ) -> Result<DeleteMarkResponse, Failure> {
        let mut violations = Violations::default();
        let id = Uuid::try_parse(&request.mark_id);
        let id = violations.check("mark_id", id.map_err(|_| "must be the id of a mark"));
        violations.into_result()?;
        if let Some(id) = id {
            self.store.delete_mark(id).await?;
            tracing::info!(mark = %id, "mark deleted");
        }
        Ok(DeleteMarkResponse {})
    }
}

/// Whether it is an address that a page may link to: no script hides in it.
fn is_link(link: &str) -> bool {
    let plain = |letter: char| !letter.is_control() && !letter.is_whitespace();
    link.len() <= MAX_LINK_BYTES
        && (link.starts_with("https://") || link.starts_with("http://"))
        && link.chars().all(plain)
}

fn wire(mark: MarkRow) -> Mark {
    Mark {
        mark_id: mark.mark_id.to_string(),
        marked_at: Some(timestamp_from_micros(mark.marked_at.timestamp_micros())),
        text: mark.text,
        link: mark.link.unwrap_or_default(),
    }
}
