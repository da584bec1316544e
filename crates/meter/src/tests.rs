//! What a scraper sees.

mod bounds;
mod formats;
mod threads;
