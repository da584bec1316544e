//! Demonstration data, the same each time: a row is a function of the seed and its number.
//!
//! A row whose id or slug exists, or ever existed, is left alone, so what was changed or deleted by hand stays so.

use crate::db::{Database, DbError};
use crate::id::Id;
use crate::projects::{self, Content, Description, NewProject, ProjectName, Refusal, Slug, Status};
use crate::text::Invalid;
use crate::timestamp::Timestamp;

const PROJECTS: u64 = 57;
/// 2026-01-01T00:00:00Z; row n was created n minutes later.
const EPOCH_MS: u64 = 1_767_225_600_000;

const FIRST: [&str; 8] = ["Amber", "Brisk", "Copper", "Distant", "Early", "Fallow", "Granite", "Hidden"];
const SECOND: [&str; 8] = ["Harbour", "Lantern", "Meadow", "Orchard", "Quarry", "Signal", "Terrace", "Weir"];

/// How many times 57 projects, from 1 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale(u64);

impl Scale {
    /// Reads the value of `--scale`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let scale = text.parse().ok().filter(|scale| (1..=1_000).contains(scale));
        scale.map(Self).ok_or_else(|| "must be a number from 1 to 1000".to_owned())
    }
}

/// Why seeding stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeedError {
    #[error("the database cannot be seeded")]
    Database(#[from] DbError),
    #[error("a seed row is not valid: {0}")]
    Row(Invalid),
}

/// Adds what is not there yet, 57 rows a transaction. What was added before an error stays, and the next run adds the
/// rest.
pub(crate) async fn sow(database: &Database, scale: Scale, seed: u64) -> Result<(), SeedError> {
    let (mut added, mut present) = (0_u64, 0_u64);
    for batch in 0..scale.0 {
        let mut transaction = database.write().await?;
        for number in batch * PROJECTS..(batch + 1) * PROJECTS {
            let created_at = Timestamp::from_micros((created_ms(number) * 1_000).cast_signed());
            let row = row(seed, number).map_err(SeedError::Row)?;
            match projects::insert(&mut transaction, row, created_at).await {
                Ok(_) => added += 1,
                Err(Refusal::Database(error)) => return Err(error.into()),
                Err(_) => present += 1,
            }
        }
        transaction.commit().await?;
    }
    tracing::info!(collection = "projects", added, present, "seeded");
    Ok(())
}

const fn created_ms(number: u64) -> u64 {
    EPOCH_MS + number * 60_000
}

fn row(seed: u64, number: u64) -> Result<NewProject, Invalid> {
    let mut draw = Draw(seed.wrapping_mul(0x0100_0000_01b3) ^ number);
    let (first, second) = (draw.of(&FIRST), draw.of(&SECOND));
    let mut random = [0; 10];
    random[..8].copy_from_slice(&draw.next().to_be_bytes());
    random[8..].copy_from_slice(&draw.next().to_be_bytes()[..2]);
    let slug = format!("{first}-{second}-{seed}-{number}").to_ascii_lowercase();
    Ok(NewProject {
        id: Some(Id::from_parts(created_ms(number), &random)),
        content: Content {
            name: ProjectName::parse(&format!("{first} {second} {number}"))?,
            slug: Slug::parse(&slug)?,
            description: Description::parse(&format!("Everything about the {first} {second}."))?,
            // By turns, so that every status is there whatever the seed.
            status: Status::ALL[(number % 4) as usize],
        },
    })
}

/// SplitMix64 (Steele, Lea and Flood 2014): a few lines, and the same numbers for ever.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn of<'a>(&mut self, words: &[&'a str; 8]) -> &'a str {
        words[(self.next() % 8) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_row_is_a_function_of_seed_and_number() {
        assert_eq!(row(1, 5), row(1, 5));
        assert_ne!(row(1, 5), row(2, 5));
        assert_ne!(row(1, 5), row(1, 6));
    }

    #[test]
    fn no_two_rows_of_a_few_seeds_share_an_id_or_a_slug() {
        let rows: Vec<_> = (0..3).flat_map(|seed| (0..570).map(move |n| row(seed, n).expect("valid"))).collect();
        let ids: HashSet<_> = rows.iter().map(|row| row.id).collect();
        let slugs: HashSet<_> = rows.iter().map(|row| row.content.slug.as_str()).collect();
        assert_eq!((ids.len(), slugs.len()), (rows.len(), rows.len()));
    }

    #[test]
    fn the_largest_row_is_valid() {
        assert!(row(u64::MAX, 57_000).is_ok());
    }
}
