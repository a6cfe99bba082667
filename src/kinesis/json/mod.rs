//! AWS JSON 1.1: compact, blobs in base64, times as seconds with a fraction.

mod read;
#[cfg(test)]
mod tests;
pub mod write;

pub(super) use read::Reader;
