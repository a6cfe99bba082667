//! Freeing the storage of a log: by age, by what a snapshot made superfluous, or all of it.
//!
//! Segments go whole and oldest first, so that a crash at any point leaves a row without holes. The last segment with
//! durable frames always stays: it carries the offsets on. With `durability = interval` frames behind it may be visible
//! and still be lost with the power.

use std::io;
use std::path::Path;

use crate::engine::log::Log;
use crate::format::names;
use crate::runtime::Runtime;
use crate::shard::admission::PutRefusal;
use crate::types::{Offset, WallUs};

impl<R: Runtime> Log<R> {
    /// Frees segments all of whose records arrived before `cutoff`. Resolves to the bytes freed.
    pub async fn expire(&self, cutoff: WallUs) -> io::Result<u64> {
        self.free_while(|last_arrival, _| last_arrival < cutoff).await
    }

    /// Frees segments all of whose records lie before `offset`. Resolves to the bytes freed.
    pub async fn trim(&self, offset: Offset) -> io::Result<u64> {
        self.free_while(|_, end| end <= offset).await
    }

    async fn free_while(&self, old: impl Fn(WallUs, Offset) -> bool) -> io::Result<u64> {
        let mut freed = 0;
        loop {
            let (number, capacity) = {
                let mut state = self.state.borrow_mut();
                let [oldest, next] = [state.segments.front(), state.segments.get(1)];
                let Some((oldest, next)) = oldest.zip(next) else { break };
                let carries_on = state.marks.durable().index > next.first.index;
                if !oldest.sealed || !carries_on || !old(oldest.tip.arrival, oldest.tip.offset) {
                    break;
                }
                let file = (oldest.number, oldest.capacity);
                // Out of sight first: nobody starts to read it any more. Who reads it now holds its own handle, and
                // checks every frame should the file be used again meanwhile.
                state.segments.pop_front();
                file
            };
            self.env.forget_file(self.group, number);
            remove_if_there(&self.env.rt, &self.dir.join(names::index(number))).await?;
            self.env.free_segment(&self.dir.join(names::segment(number)), capacity).await?;
            freed += capacity;
        }
        if freed > 0 {
            self.env.rt.sync_dir(&self.dir).await?;
        }
        Ok(freed)
    }

    /// Removes the log with its directory. Puts under way are still answered.
    ///
    /// A crash leaves a part of the files; calling it again on the rest finishes the work.
    pub async fn destroy(&self) -> io::Result<()> {
        self.refuse(PutRefusal::Deleting);
        self.stop_writer().await;
        let segments = std::mem::take(&mut self.state.borrow_mut().segments);
        for segment in &segments {
            self.env.forget_file(self.group, segment.number);
        }
        self.state.borrow_mut().tail.clear();
        remove_log(&self.env.rt, &self.dir).await
    }
}

/// Removes the files of a log that is not open, and its directory. Fine if it does not exist.
pub async fn remove_log<R: Runtime>(rt: &R, dir: &Path) -> io::Result<()> {
    let mut names = match rt.list(dir).await {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    names.sort_unstable();
    for name in names {
        remove_if_there(rt, &dir.join(name)).await?;
        // A stream of thousands of segments must not keep others from the disk.
        rt.yield_now().await;
    }
    rt.remove_dir(dir).await?;
    match dir.parent() {
        Some(parent) => rt.sync_dir(parent).await,
        None => Ok(()),
    }
}

async fn remove_if_there<R: Runtime>(rt: &R, path: &Path) -> io::Result<()> {
    match rt.remove(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
