//! Decisions about one shard's log.
