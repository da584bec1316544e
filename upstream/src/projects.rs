//! Projects: the resource, how it is read from bodies and queries, where it is kept, its routes.
//!
//! Everything but [`store`] and [`routes`] is values in, values out.

mod body;
mod edit;
mod list_query;
mod model;
mod routes;
mod store;

pub(crate) use self::edit::{Content, NewProject};
pub(crate) use self::model::{DEFAULT_OWNER, Description, ProjectName, Slug, Status};
pub(crate) use self::routes::router;
pub(crate) use self::store::{Refusal, insert};
