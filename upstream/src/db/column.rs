//! Columns of text that hold something narrower. A value that does not is a fault of ours, not of the client.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::text::Invalid;

/// A column that is never null.
pub(crate) fn column<T>(
    row: &SqliteRow,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Result<T, sqlx::Error> {
    parse(row.try_get(name)?).map_err(|reason| undecodable(name, &reason))
}

/// A column that may be null.
pub(crate) fn optional_column<T>(
    row: &SqliteRow,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Result<Option<T>, sqlx::Error> {
    let text: Option<&str> = row.try_get(name)?;
    text.map(parse).transpose().map_err(|reason| undecodable(name, &reason))
}

fn undecodable(name: &str, reason: &Invalid) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: name.to_owned(), source: reason.to_string().into() }
}
