//! CBOR in the dialect of AWS: blobs are byte strings, times are tag 1 with whole milliseconds, what is written has maps
//! and lists of indefinite length; what is read may have either.

mod read;
#[cfg(test)]
mod tests;
pub mod write;

pub(super) use read::Reader;
