//! Histograms found by small numbers: no lock and no text after the first time.

use std::sync::OnceLock;
use vestibule_plugin::meter::Histogram;

/// A grid of rows that are made when they are first needed: most methods never meet most routes.
pub(crate) struct Table {
    rows: Box<[OnceLock<Row>]>,
    columns: usize,
}

type Row = Box<[OnceLock<Histogram>]>;

impl Table {
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        Self { rows: std::iter::repeat_with(OnceLock::new).take(rows).collect(), columns }
    }

    /// The histogram at this place, looked up once; `None` outside the grid.
    pub(crate) fn get(&self, row: usize, column: usize, look_up: impl FnOnce() -> Histogram) -> Option<&Histogram> {
        let row = self.rows.get(row)?;
        let row = row.get_or_init(|| std::iter::repeat_with(OnceLock::new).take(self.columns).collect());
        Some(row.get(column)?.get_or_init(look_up))
    }
}
