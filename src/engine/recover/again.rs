//! Recovery of a log whose write or sync failed, in the process that saw it fail.
//!
//! A disk that fails a sync may report the next one as done and lose what the first one was to cover, although it can be read
//! until the power goes. So what recovery finds behind the last sync that succeeded is written once more, byte for byte,
//! and synced, before anybody is told that it is stored. It is a few megabytes at most: what is unsynced is bounded.
//! A crash in the middle changes nothing: the bytes are the same before and after.

use std::io;
use std::path::Path;
use std::rc::Rc;

use super::{RecoverError, Report, recover};
use crate::engine::env::Env;
use crate::engine::log::{Found, Place};
use crate::format::names;
use crate::limits::{BLOCK_BYTES, COLD_READ_BYTES};
use crate::runtime::{File, Open, Runtime};
use crate::types::GroupId;

/// Opens the log in `dir`, of which everything before `synced_to` is known to be on the disk.
///
/// When it resolves, everything found is durable, as after [`recover`]. On an error nothing is known: call it again.
pub async fn recover_failed<R: Runtime>(
    env: &Rc<Env<R>>,
    group: GroupId,
    dir: &Path,
    synced_to: Place,
) -> Result<(Found<R>, Report), RecoverError> {
    let (found, report) = recover(env, group, dir).await?;
    let written = write_again(env, dir, &found, synced_to).await;
    written.map_err(|error| RecoverError::Io { dir: dir.to_path_buf(), error })?;
    Ok((found, report))
}

async fn write_again<R: Runtime>(env: &Env<R>, dir: &Path, found: &Found<R>, from: Place) -> io::Result<()> {
    let block = BLOCK_BYTES as u64;
    for segment in found.segments.iter().filter(|segment| segment.number >= from.number) {
        let start = if segment.number == from.number { from.pos / block * block } else { 0 };
        if start >= segment.end_pos {
            continue;
        }
        let file = env.rt.open(&dir.join(names::segment(segment.number)), Open::Write).await?;
        let mut at = start;
        while at < segment.end_pos {
            let left = (segment.end_pos - at).next_multiple_of(block);
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(COLD_READ_BYTES);
            let bytes = file.read_at(at, len).await?;
            file.write_at(&bytes, at).await?;
            at += len as u64;
        }
        file.sync().await?;
    }
    Ok(())
}
