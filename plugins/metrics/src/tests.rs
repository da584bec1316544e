//! What a scraper sees of exchanges.

mod build;
mod exchanges;
mod stage;
