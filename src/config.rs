//! Settings: as written, then validated.
