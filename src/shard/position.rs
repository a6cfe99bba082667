//! Where a reader starts: the table from a wish and the shard's bounds to an offset.
//!
//! ```text
//! legend: h = horizon, the oldest readable offset; e = end, one past the newest; h <= e
//!         t = the first readable record that arrived at or after the time, none if all arrived earlier
//!
//! start      facts            result
//! Horizon    any              h
//! Latest     any              e
//! At(o)      o < h            BeforeHorizon
//! At(o)      h <= o <= e      o              At(e) is the same as Latest: the next record, once there is one
//! At(o)      o > e            BeyondEnd
//! After(o)   o + 1 < h        BeforeHorizon
//! After(o)   h <= o + 1 <= e  o + 1          After(h - 1) loses nothing: that record was read before it went
//! After(o)   o + 1 > e        BeyondEnd
//! AtTime(_)  t is none        e
//! AtTime(_)  t < h            h              retention moved on while the time was looked up
//! AtTime(_)  h <= t <= e      t
//! ```

use thiserror::Error;

use crate::types::{Offset, WallUs};

/// Where a reader wants to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// With the oldest readable record.
    Horizon,
    /// With the next record that is put.
    Latest,
    /// With this record.
    At(Offset),
    /// With the record after this one.
    After(Offset),
    /// With the first record that arrived at this time or later.
    AtTime(WallUs),
}

/// What is known about the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest readable offset.
    pub horizon: Offset,
    /// One past the newest committed record.
    pub end: Offset,
}

/// Why a reader cannot start there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// Records from there on up to the horizon are gone.
    #[error("the position is before the oldest record; the shard starts at offset {horizon}")]
    BeforeHorizon {
        /// The oldest readable offset.
        horizon: Offset,
    },
    /// No record with this offset exists yet, nor will the next one have it.
    #[error("the position is beyond the end; the shard ends at offset {end}")]
    BeyondEnd {
        /// One past the newest committed record.
        end: Offset,
    },
}

impl Start {
    /// The time to look up before [`Start::resolve`] is called, if the start is a time.
    #[must_use]
    pub const fn time(self) -> Option<WallUs> {
        match self {
            Self::AtTime(time) => Some(time),
            Self::Horizon | Self::Latest | Self::At(_) | Self::After(_) => None,
        }
    }

    /// The offset to read from first, by the table above. `by_time` is the result of the time lookup: the first record
    /// that arrived at or after [`Start::time`], `None` if there is none; other starts ignore it.
    ///
    /// The bounds are those of the moment of this call, not those from before the lookup.
    pub fn resolve(self, bounds: Bounds, by_time: Option<Offset>) -> Result<Offset, StartError> {
        let Bounds { horizon, end } = bounds;
        assert!(horizon <= end, "the horizon {horizon} is beyond the end {end}");
        let wanted = match self {
            Self::Horizon => return Ok(horizon),
            Self::Latest => return Ok(end),
            Self::AtTime(_) => return Ok(by_time.unwrap_or(end).clamp(horizon, end)),
            Self::At(offset) => offset,
            Self::After(offset) => Offset(offset.0.checked_add(1).ok_or(StartError::BeyondEnd { end })?),
        };
        if wanted < horizon {
            Err(StartError::BeforeHorizon { horizon })
        } else if wanted > end {
            Err(StartError::BeyondEnd { end })
        } else {
            Ok(wanted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Start = Start::AtTime(WallUs(77));

    fn at(o: u64) -> Start {
        Start::At(Offset(o))
    }

    fn after(o: u64) -> Start {
        Start::After(Offset(o))
    }

    /// Goal: every row of the table, at its edges, for a shard that holds offsets 10 to 19.
    #[test]
    fn every_row_of_the_table() {
        let before = Err(StartError::BeforeHorizon { horizon: Offset(10) });
        let beyond = Err(StartError::BeyondEnd { end: Offset(20) });
        let ok = |o| Ok(Offset(o));
        let table = [
            (Start::Horizon, None, ok(10)),
            (Start::Latest, None, ok(20)),
            (at(0), None, before),
            (at(9), None, before),
            (at(10), None, ok(10)),
            (at(19), None, ok(19)),
            (at(20), None, ok(20)),
            (at(21), None, beyond),
            (at(u64::MAX), None, beyond),
            (after(8), None, before),
            (after(9), None, ok(10)),
            (after(19), None, ok(20)),
            (after(20), None, beyond),
            (after(u64::MAX), None, beyond),
            (TIME, None, ok(20)),
            (TIME, Some(3), ok(10)),
            (TIME, Some(10), ok(10)),
            (TIME, Some(15), ok(15)),
        ];
        let bounds = Bounds { horizon: Offset(10), end: Offset(20) };
        for (start, by_time, expected) in table {
            assert_eq!(start.resolve(bounds, by_time.map(Offset)), expected, "{start:?} {by_time:?}");
        }
    }

    /// Goal: an empty shard can be read from its only position, by every kind of start.
    #[test]
    fn an_empty_shard() {
        let bounds = Bounds { horizon: Offset(5), end: Offset(5) };
        for start in [Start::Horizon, Start::Latest, at(5), after(4), TIME] {
            assert_eq!(start.resolve(bounds, None), Ok(Offset(5)), "{start:?}");
        }
        assert!(at(4).resolve(bounds, None).is_err());
        assert!(at(6).resolve(bounds, None).is_err());
    }

    /// Goal: only a time needs a lookup.
    #[test]
    fn only_times_are_looked_up() {
        assert_eq!(TIME.time(), Some(WallUs(77)));
        assert_eq!(at(1).time(), None);
    }
}
