//! Small files that are written once and replaced whole.

use std::io;
use std::path::Path;

use crate::format::block_up;
use crate::format::names;
use crate::limits::BLOCK_BYTES;
use crate::runtime::{File, Open, Runtime};
use crate::types::Slab;

/// Largest file that is read whole: an index of the largest segment with a full producer table stays well below.
const WHOLE_BYTES_MAX: u64 = 256 << 20;

/// Replaces the file `dir/name` by `contents` (padded with zeros to the block size).
///
/// When it resolves, the new contents are durable under the name. A crash leaves the old file or the new one: 1. write
/// and sync a temporary file, 2. rename it, 3. sync the directory. Dropping it may leave the temporary file behind.
pub async fn replace<R: Runtime>(rt: &R, dir: &Path, name: &str, contents: &[u8]) -> io::Result<()> {
    let temporary = dir.join(names::temporary(name));
    match rt.remove(&temporary).await {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let len = usize::try_from(block_up(contents.len().max(1) as u64)).expect("the contents are in memory");
    let mut buffer = rt.alloc(len);
    buffer.put(0, contents);
    buffer.put_zeros(contents.len()..len);
    let buffer = rt.freeze(buffer, len);
    let file = rt.open(&temporary, Open::CreateNew).await?;
    file.write_at(&buffer, 0).await?;
    file.sync().await?;
    drop(file);
    rt.rename(&temporary, &dir.join(name)).await?;
    rt.sync_dir(dir).await
}

/// The contents of a file, its padding included. `None` if it does not exist.
pub async fn read<R: Runtime>(rt: &R, path: &Path) -> io::Result<Option<R::Buf>> {
    let file = match rt.open(path, Open::Read).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len().await?;
    if len > WHOLE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} has {len} bytes", path.display())));
    }
    let len = usize::try_from(block_up(len)).expect("checked above").max(BLOCK_BYTES);
    file.read_at(0, len).await.map(Some)
}

/// Renames a damaged file, so that nothing takes it for what it was and nothing is written over it. Gives its new name.
///
/// When it resolves, the new name is durable. A crash leaves the old name or the new one.
pub async fn set_aside<R: Runtime>(rt: &R, dir: &Path, name: &str) -> io::Result<String> {
    let taken = rt.list(dir).await?;
    let aside = (0..).map(|n| names::aside(name, n)).find(|aside| !taken.contains(aside));
    let aside = aside.expect("a directory is finite");
    rt.rename(&dir.join(name), &dir.join(&aside)).await?;
    rt.sync_dir(dir).await?;
    Ok(aside)
}

/// Creates a directory and makes its name durable.
pub async fn create_dir<R: Runtime>(rt: &R, path: &Path) -> io::Result<()> {
    rt.create_dir(path).await?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => rt.sync_dir(parent).await,
        _ => rt.sync_dir(Path::new(".")).await,
    }
}
