//! Which traces that begin here are recorded.

/// Bits of a trace id that are random by W3C Trace Context Level 2.
const RANDOM_BITS: u32 = 56;

/// A share of all traces. Every proxy with the same share decides the same about the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// An id is in when its random bits are below this; 2^56 takes all.
    below: u64,
}

impl Share {
    /// `None` unless `share` is between 0.0 and 1.0.
    pub(crate) fn new(share: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a power of two is exact")]
        let all = (1u64 << RANDOM_BITS) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 2^56")]
        let below = (share * all) as u64;
        Some(Self { below })
    }

    /// Whether a trace of this id is sampled.
    pub(crate) fn takes(self, trace_id: u128) -> bool {
        trace_id & ((1 << RANDOM_BITS) - 1) < u128::from(self.below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_takes_all_and_zero_none() {
        for id in [1, u128::MAX, 1 << 56, (1 << 56) - 1] {
            assert!(Share::new(1.0).expect("a share").takes(id), "{id:x}");
            assert!(!Share::new(0.0).expect("a share").takes(id), "{id:x}");
        }
        for nonsense in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::new(nonsense), None);
        }
    }

    /// OBS-13: a quarter of the ids, the same ones everywhere; the upper bits have no say.
    #[test]
    fn a_quarter_is_the_lowest_quarter() {
        let share = Share::new(0.25).expect("a share");
        assert!(share.takes((1 << 54) - 1));
        assert!(!share.takes(1 << 54));
        assert!(share.takes(0xdead_beef << 64 | 5));
    }
}
