//! Freeing the oldest segments of a log: by age, or by what a snapshot made superfluous.
//!
//! Segments go whole and oldest first, so that a crash at any point leaves a row without holes. The last segment with
//! durable frames always stays: it carries the offsets on. With `durability = interval` frames behind it may be visible
//! and still be lost with the power.

use std::io;
use std::path::Path;

use crate::engine::log::Log;
use crate::format::names;
use crate::runtime::Runtime;
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
        let Some(_part) = self.part() else { return Ok(0) };
        while !self.is_stopping() {
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
            self.opened().await;
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
}

/// Removes a file, if it is there.
pub(super) async fn remove_if_there<R: Runtime>(rt: &R, path: &Path) -> io::Result<()> {
    match rt.remove(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
