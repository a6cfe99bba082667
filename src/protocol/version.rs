//! Versions of the protocol and optional features.

/// The newest version this code speaks, and the one it writes.
pub const VERSION: u8 = 2;

/// The oldest version this code speaks. Version 1 was never part of a release.
pub const VERSION_MIN: u8 = 2;

/// Optional features this code knows, one bit each. None is defined yet. A connection uses those both ends know.
pub const FEATURES: u64 = 0;

/// The version for a connection whose client speaks `min..=max`: the newest that both ends speak, if there is one.
#[must_use]
pub fn negotiate(min: u8, max: u8) -> Option<u8> {
    let newest = max.min(VERSION);
    (min <= max && newest >= min.max(VERSION_MIN)).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the newest common version is chosen, and windows that do not meet or are upside down give none.
    #[test]
    fn newest_common_version() {
        assert_eq!(negotiate(2, 2), Some(2));
        assert_eq!(negotiate(0, 9), Some(VERSION));
        assert_eq!(negotiate(VERSION + 1, 9), None);
        assert_eq!(negotiate(0, VERSION_MIN - 1), None);
        assert_eq!(negotiate(3, 1), None);
    }
}
