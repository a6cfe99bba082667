//! Decisions about one Kinesis shard.
