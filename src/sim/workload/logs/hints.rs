//! The checker of durable hints: whatever frame of a log lies anywhere in its files, a recovered log does not end before what
//! that frame says to be durable. It finds the frames without the engine.
//!
//! It does not check frames inside of a flush (they carry the hint of its beginning, or an older one), nor logs that recovery
//! found damaged.

use std::path::Path;

use super::{DATA, World};
use crate::format::frame::FrameHeader;
use crate::format::names;
use crate::limits::BLOCK_BYTES;
use crate::types::{FrameIndex, GroupId};

impl World {
    /// Frames below this index are durable, as some frame in the log's files says.
    pub(super) fn durable_hint(&self, group: GroupId) -> FrameIndex {
        let dir = names::shard_dir(Path::new(DATA), group);
        let files = self.sim.files(self.host).into_iter().filter(|(path, _)| {
            let name = Path::new(path).strip_prefix(&dir).ok().and_then(Path::to_str);
            name.is_some_and(|name| names::parse_segment(name).is_some())
        });
        let hints = files.flat_map(|(path, _)| {
            let bytes = self.sim.read_file(self.host, path).expect("it is listed");
            let headers = bytes.chunks(BLOCK_BYTES).filter_map(|block| FrameHeader::decode(block).ok());
            headers.filter(|header| header.group_id == group).map(|header| header.durable_hint).collect::<Vec<_>>()
        });
        hints.max().unwrap_or(FrameIndex(0))
    }
}
