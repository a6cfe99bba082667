//! The fuzz targets' bodies, for the programs in `fuzz_targets`.

mod targets;

pub use targets::*;
