//! Showing the frames of logs one by one.

use super::{Flow, InspectError, Inspector, LogDir, Sight};
use crate::engine::recover::{self, Depth};
use crate::engine::whole_file;
use crate::format::frame::Kind;
use crate::format::index;
use crate::format::names::{self, SegmentNumber};
use crate::runtime::Runtime;
use crate::types::{GroupId, Offset};

/// Which frames are shown.
#[derive(Clone, Copy, Debug)]
pub struct DumpOptions {
    /// Only the log of this group.
    pub group: Option<GroupId>,
    /// Only frames with records at this offset or behind it; 0 shows everything.
    pub from: Offset,
    /// At most so many frames, of all logs together.
    pub frames_max: u64,
    /// Pads, too.
    pub pads: bool,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self { group: None, from: Offset(0), frames_max: u64::MAX, pads: false }
    }
}

impl<R: Runtime> Inspector<R> {
    /// Shows segments, frames and stops to `see`, log by log, until it breaks off. Every frame shown is intact and in its
    /// place; where the row is damaged a stop says so, and it goes on behind the damage.
    ///
    /// The records of a data frame are [`crate::format::record::Records`] of its body. Changes nothing.
    pub async fn dump(
        &self,
        options: &DumpOptions,
        see: &mut dyn FnMut(&LogDir, Sight<'_>) -> Flow,
    ) -> Result<(), InspectError> {
        let mut logs = self.logs().await?;
        if let Some(group) = options.group {
            logs.retain(|log| log.group == group);
            if logs.is_empty() {
                return Err(InspectError::NoSuchLog { path: self.path.clone(), group });
            }
        }
        let mut left = options.frames_max;
        let mut ended = left == 0;
        for log in &logs {
            if ended {
                break;
            }
            let first = self.segment_before(log, options.from).await?;
            let mut show = |sight: Sight<'_>| {
                let counts = match &sight {
                    Sight::Frame { header, .. } if header.kind == Kind::Pad && !options.pads => {
                        return Flow::Continue(());
                    }
                    Sight::Frame { header, .. } if options.from > Offset(0) && header.end_offset() <= options.from => {
                        return Flow::Continue(());
                    }
                    Sight::Frame { .. } => true,
                    Sight::Segment { .. } | Sight::Padding { .. } | Sight::Stop { .. } => false,
                };
                let flow = see(log, sight);
                left -= u64::from(counts);
                ended = flow.is_break() || left == 0;
                if ended { Flow::Break(()) } else { flow }
            };
            recover::examine(&self.rt, log.group, &log.path, Depth::Everything, first, &mut show).await?;
        }
        Ok(())
    }

    /// The last segment that certainly starts at or before `offset`, as far as the indexes tell.
    async fn segment_before(&self, log: &LogDir, offset: Offset) -> Result<Option<SegmentNumber>, InspectError> {
        if offset == Offset(0) {
            return Ok(None);
        }
        let names = self.list_if_there(&log.path).await?.unwrap_or_default();
        let has_segment = |number| names.contains(&names::segment(number));
        let indexes = names.iter().filter_map(|name| names::parse_index(name));
        let mut numbers: Vec<_> = indexes.filter(|number| has_segment(*number)).collect();
        numbers.sort_unstable();
        for number in numbers.into_iter().rev() {
            let path = log.path.join(names::index(number));
            let Ok(Some(file)) = whole_file::read(&self.rt, &path).await else { continue };
            if let Ok((summary, _)) = index::decode(&file)
                && (summary.group, summary.number) == (log.group, number)
                && summary.first_offset <= offset
            {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}
