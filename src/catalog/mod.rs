//! Streams, shards and their placement: commands in, events out.
