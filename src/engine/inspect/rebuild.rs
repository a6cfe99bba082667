//! Writing the indexes of sealed segments anew, from the segments.

use super::{Flow, InspectError, Inspector, LogDir, fail};
use crate::engine::recover::{self, Depth, ExaminedSegment};
use crate::engine::segments::SparseIndex;
use crate::engine::whole_file;
use crate::format::index;
use crate::format::names::{self, SegmentNumber};
use crate::runtime::Runtime;

/// What became of one segment's index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The log.
    pub log: LogDir,
    /// The segment.
    pub segment: SegmentNumber,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done about an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was right.
    Unchanged,
    /// It was written.
    Written,
    /// Left as it is: the segment is damaged, so there is nothing to build from.
    Damaged,
}

impl<R: Runtime> Inspector<R> {
    /// Reads every sealed segment and replaces its index unless it is right, as the node itself would write it. Each file is
    /// replaced as a whole.
    ///
    /// The table of producers at the end of a segment comes from the frames since the beginning of the log. Where retention
    /// has removed that, it comes from the index of the segment before; without it, it holds those still in the log.
    pub async fn rebuild_index(&self, done: &mut dyn FnMut(&Rebuilt)) -> Result<Vec<Rebuilt>, InspectError> {
        let mut out = Vec::new();
        for log in self.logs().await? {
            let mut see = |_: recover::Sight<'_>| Flow::Continue(());
            let examined = recover::examine(&self.rt, log.group, &log.path, Depth::Everything, None, &mut see).await?;
            for found in examined.segments {
                if !found.segment.sealed {
                    continue;
                }
                let (log, segment) = (log.clone(), found.segment.number);
                let outcome = self.rebuild_one(&log, found).await?;
                let rebuilt = Rebuilt { log, segment, outcome };
                done(&rebuilt);
                out.push(rebuilt);
            }
        }
        Ok(out)
    }

    async fn rebuild_one(&self, log: &LogDir, found: ExaminedSegment<R::Map>) -> Result<Outcome, InspectError> {
        let ExaminedSegment { segment, producers, producers_known } = found;
        if !segment.gaps.is_empty() {
            return Ok(Outcome::Damaged);
        }
        let SparseIndex::Memory(entries) = &segment.index else {
            unreachable!("everything was read, so the index was built in memory");
        };
        let name = names::index(segment.number);
        let path = log.path.join(&name);
        let summary = segment.summary(producers);
        // A file that cannot be read is replaced like one that is wrong.
        if let Ok(Some(file)) = whole_file::read(&self.rt, &path).await
            && let Ok((mut there, there_entries)) = index::decode(&file)
        {
            if !producers_known {
                there.producers.clone_from(&summary.producers);
            }
            if there == summary && there_entries == entries {
                return Ok(Outcome::Unchanged);
            }
        }
        let contents = index::encode(&summary, entries);
        whole_file::replace(&self.rt, &log.path, &name, &contents).await.map_err(fail("write", &path))?;
        Ok(Outcome::Written)
    }
}
