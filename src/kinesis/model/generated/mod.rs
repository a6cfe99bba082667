//! The tables, as written by `tools/kinesis-model/generate.py`: single values, lists and maps; structures; operations.

#[rustfmt::skip]
pub(super) mod operations;
#[rustfmt::skip]
pub(super) mod structures;
#[rustfmt::skip]
pub(super) mod values;
