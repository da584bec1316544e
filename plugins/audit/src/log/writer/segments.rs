//! Which segment is written, and which ones make room for it.

use super::{HOUR, MAX_AGE, Writer};
use crate::log::batch::Batch;
use crate::log::loss::Loss;
use crate::log::retention::{self, Plan};
use crate::log::{Position, Terms};
use std::io;
use std::time::Instant;
use vestibule_chain::millis;

impl Writer {
    /// A full disk cannot take the record that says which segments go. They go first then, and the record comes with the
    /// next attempt.
    pub(super) fn without_room(&mut self, error: io::Error, plan: Option<&Plan>, now_ms: u64) -> io::Error {
        if error.kind() != io::ErrorKind::StorageFull {
            return error;
        }
        match plan {
            Some(plan) if self.untold.is_none() => {
                retention::remove(plan, &self.dir, &mut self.copies);
                self.board.spool(self.dir.bytes());
                self.untold = Some(plan.record(now_ms));
            }
            // The next attempt looks for what may go.
            _ => self.look_soon(),
        }
        error
    }

    fn look_soon(&mut self) {
        self.pace.looked = Instant::now().checked_sub(HOUR).unwrap_or_else(Instant::now);
    }

    /// Segments that may go, and an error when the directory is full although they do.
    pub(super) fn make_room(&mut self, terms: &Terms, now_ms: u64) -> io::Result<Option<Plan>> {
        let bytes = self.board.spooled();
        let over = bytes > terms.max_bytes;
        if !over && self.pace.looked.elapsed() < terms.keep.min(HOUR) {
            return Ok(None);
        }
        self.pace.looked = Instant::now();
        let plan = retention::plan(&self.dir, terms, now_ms, self.at, self.board.all_past(), bytes);
        if over && plan.as_ref().is_none_or(|plan| bytes.saturating_sub(plan.bytes()) > terms.max_bytes) {
            let full = io::Error::new(io::ErrorKind::StorageFull, "max_bytes is reached and no segment may go");
            return plan.map_or(Err(full), |plan| Ok(Some(plan)));
        }
        Ok(plan)
    }

    /// Opens the segment to write in, a new one where the last is full or old; whether its head is still to be written.
    pub(super) fn begin_segment(&mut self, terms: &Terms) -> io::Result<bool> {
        let full = self.at.offset.saturating_sub(self.head_end) >= terms.rotate_bytes;
        let old = self.at.offset > 0 && self.began.elapsed() >= MAX_AGE;
        if full || old {
            if !self.pace.ends_with_checkpoint {
                self.end_segment(terms)?;
            }
            self.file = None;
            self.at = Position { segment: self.at.segment + 1, offset: 0, ..self.at };
            self.head_end = 0;
            self.began = Instant::now();
            // So that what is full is looked at: a segment has just become one that may go.
            self.look_soon();
        }
        let is_head = self.at.offset == 0;
        self.open_file()?;
        Ok(is_head)
    }

    fn open_file(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(self.dir.open_segment(self.at.segment, self.at.offset)?);
        }
        Ok(())
    }

    /// A segment's last record is a checkpoint.
    fn end_segment(&mut self, terms: &Terms) -> io::Result<()> {
        self.open_file()?;
        let mut batch = Batch::behind(self.chain, self.at);
        batch.add_checkpoint(millis(self.clock.wall()), terms.sign_key.as_ref(), false);
        self.append(&batch)?;
        self.commit(batch, 0, &Loss::default());
        Ok(())
    }
}
