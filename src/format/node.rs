//! The node file: who this data directory belongs to, in which format, and the last term a node opened it in. Replaced
//! whole (write, sync, rename, sync the directory) on each start.
//!
//! Payload: `u128 node_id, u64 term, u64 created_us`.

use crate::codec::{DecodeError, Reader, Write};
use crate::format::sealed::{self, SealedError};
use crate::types::{Term, WallUs};
use thiserror::Error;

const MAGIC: u32 = u32::from_le_bytes(*b"MSNF");

/// The newest layout of a data directory that this code reads, and the one it writes.
pub const DATA_VERSION: u32 = 1;

/// The contents of the node file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeFile {
    /// Drawn at random when the directory was created.
    pub node_id: u128,
    /// The last term a node opened the directory in.
    pub term: Term,
    /// When the directory was created.
    pub created: WallUs,
}

/// Why the node file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NodeFileError {
    /// The envelope is damaged, or too new.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// The payload is damaged.
    #[error(transparent)]
    Payload(#[from] DecodeError),
}

impl NodeFile {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(32);
        payload.put_u128(self.node_id);
        payload.put_u64(self.term.0);
        payload.put_u64(self.created.0);
        sealed::seal(MAGIC, DATA_VERSION, &payload)
    }

    /// The contents of the file.
    pub fn decode(file: &[u8]) -> Result<Self, NodeFileError> {
        let (_, payload) = sealed::open(MAGIC, DATA_VERSION, file)?;
        let mut r = Reader::new(payload);
        let node = Self { node_id: r.u128("node_id")?, term: Term(r.u64("term")?), created: WallUs(r.u64("created")?) };
        r.end()?;
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the file comes back, and one of a newer layout is refused as such.
    #[test]
    fn round_trip_and_newer() {
        let node = NodeFile { node_id: 1 << 90, term: Term(4), created: WallUs(5) };
        assert_eq!(NodeFile::decode(&node.encode()), Ok(node));
        let newer = sealed::seal(MAGIC, DATA_VERSION + 1, &[]);
        assert_eq!(
            NodeFile::decode(&newer),
            Err(NodeFileError::Sealed(SealedError::Version { have: DATA_VERSION + 1, max: DATA_VERSION }))
        );
    }
}
