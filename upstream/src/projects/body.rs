//! Projects read from request bodies. Every error of a body is told at once.

use serde_json::Value;

use super::edit::Edit;
use super::{Content, Description, NewProject, ProjectName, Slug, Status};
use crate::http::{Fields, Problem};
use crate::id::Id;

const READ_ONLY: [&str; 5] = ["id", "owner_id", "version", "created_at", "updated_at"];

/// Reads the body of a POST: name and slug, and if wanted id, description and status.
pub(crate) fn new_project(body: Value) -> Result<NewProject, Problem> {
    let mut fields = Fields::of(body)?;
    let id = fields.optional("id", Id::parse);
    let name = fields.required("name", ProjectName::parse);
    let slug = fields.required("slug", Slug::parse);
    let description = fields.optional("description", Description::parse).unwrap_or_default();
    let status = fields.optional("status", Status::parse).unwrap_or_default();
    fields.finish(&READ_ONLY[1..], || {
        Some(NewProject { id, content: Content { name: name?, slug: slug?, description, status } })
    })
}

/// Reads the body of a PUT: all writable fields.
pub(crate) fn replacement(body: Value) -> Result<Edit, Problem> {
    let mut fields = Fields::of(body)?;
    let name = fields.required("name", ProjectName::parse);
    let slug = fields.required("slug", Slug::parse);
    let description = fields.required("description", Description::parse);
    let status = fields.required("status", Status::parse);
    fields.finish(&READ_ONLY, || {
        Some(Edit::from(Content { name: name?, slug: slug?, description: description?, status: status? }))
    })
}

/// Reads the JSON merge patch (RFC 7396) of a PATCH. No field is nullable, so no field can be removed.
pub(crate) fn merge_patch(body: Value) -> Result<Edit, Problem> {
    let mut fields = Fields::of(body)?;
    let name = fields.optional("name", ProjectName::parse);
    let slug = fields.optional("slug", Slug::parse);
    let description = fields.optional("description", Description::parse);
    let status = fields.optional("status", Status::parse);
    fields.finish(&READ_ONLY, || Some(Edit { name, slug, description, status }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers<T: std::fmt::Debug>(result: Result<T, Problem>) -> Vec<String> {
        result.expect_err("refused").errors().iter().map(|error| error.pointer.clone()).collect()
    }

    #[test]
    fn a_new_project_needs_name_and_slug_only() {
        let project = new_project(json!({"name": "Harbour", "slug": "harbour"})).expect("accepted");
        assert_eq!(project.id, None);
        assert_eq!(project.content.status, Status::Unknown);
    }

    #[test]
    fn every_error_is_told_at_once() {
        let body = json!({"id": "x", "name": "", "slug": 7, "status": null, "owner_id": "x", "a/b~": 1});
        assert_eq!(pointers(new_project(body)), ["/id", "/name", "/slug", "/status", "/a~1b~0", "/owner_id"]);
        assert_eq!(
            pointers(replacement(json!({"version": 1}))),
            ["/name", "/slug", "/description", "/status", "/version"]
        );
    }

    #[test]
    fn a_patch_takes_any_part_and_no_null() {
        assert_eq!(merge_patch(json!({})).expect("accepted"), Edit::default());
        assert_eq!(pointers(merge_patch(json!({"description": null, "id": "x"}))), ["/description", "/id"]);
    }

    #[test]
    fn a_body_that_is_no_object_is_refused_whole() {
        for body in [json!([]), json!(null), json!("x"), json!(1)] {
            assert_eq!(pointers(merge_patch(body)), [""]);
        }
    }

    #[test]
    fn u_0000_is_refused_in_every_string() {
        let body = json!({"name": "a\u{0}", "slug": "\u{0}", "description": "\u{0}", "status": "\u{0}", "\u{0}": 1});
        assert_eq!(pointers(merge_patch(body)).len(), 5);
    }
}
