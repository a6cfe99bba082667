//! Opening a data directory: lock it, read who it belongs to, begin a new term.
//!
//! A term is written beside the old one, which takes a block, and a disk that is full has none. So each start keeps a little
//! space in a file; one that finds no space takes it from there, and has it back once the old node file is gone.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::engine::whole_file;
use crate::format::names;
use crate::format::node::{NodeFile, NodeFileError};
use crate::format::sealed::SealedError;
use crate::runtime::{File, Open, Runtime};
use crate::types::Term;

/// Space kept for the next start: the node file, and what the file system needs to write it down.
const RESERVE_BYTES: u64 = 64 << 10;

/// A data directory, held by this node.
pub struct DataDir<R: Runtime> {
    /// Where it is.
    pub path: PathBuf,
    /// Who it belongs to, with the term that began now.
    pub node: NodeFile,
    /// Whether it was created just now.
    pub is_new: bool,
    _lock: R::Lock,
}

/// Why a data directory cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another node holds it.
    #[error("the data directory {0} is in use by another node (its file LOCK is held)")]
    Locked(PathBuf),
    /// It was written by a newer version.
    #[error("the data directory {path} has format {have}, this version reads up to {max}; start the newer version")]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        have: u32,
        /// The newest this code reads.
        max: u32,
    },
    /// Neither the node file nor its copy can be read.
    #[error(
        "the node file in {path} and its copy are damaged: {error}; restore one of them from a backup, or see `millstream log repair`"
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        error: NodeFileError,
    },
    /// It holds shards, but no node file.
    #[error("{0} holds shards but no node file: it is not a whole data directory; see `millstream log repair`")]
    Headless(PathBuf),
    /// The machine said no.
    #[error("cannot {what} {path}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
}

/// Opens the directory at `path`, creating it if need be (its parent must exist), and begins a new term.
///
/// When it resolves the directory is locked by this process and the term is durable: no other node ever uses the same
/// one on this directory. A crash leaves a directory that opens again, at most with a term nobody used.
pub async fn open<R: Runtime>(rt: &R, path: &Path) -> Result<DataDir<R>, OpenError> {
    let fail = |what: &'static str, path: &Path| {
        let path = path.to_path_buf();
        move |error| OpenError::Io { what, path, error }
    };
    whole_file::create_dir(rt, path).await.map_err(fail("create the data directory", path))?;
    let lock = match rt.lock(&names::lock_file(path)).await {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(OpenError::Locked(path.to_path_buf())),
        Err(error) => return Err(fail("lock", path)(error)),
    };
    let old = read_node(rt, path).await?;
    if old.is_none() {
        let shards = names::shards_dir(path);
        let populated = match rt.list(&shards).await {
            Ok(names) => !names.is_empty(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(fail("list", &shards)(error)),
        };
        if populated {
            return Err(OpenError::Headless(path.to_path_buf()));
        }
    }
    for dir in [names::catalog_dir(path), names::shards_dir(path), names::spare_dir(path)] {
        whole_file::create_dir(rt, &dir).await.map_err(fail("create", &dir))?;
    }
    let node = match &old {
        Some(node) => NodeFile { term: Term(node.term.0 + 1), ..*node },
        None => NodeFile {
            node_id: u128::from(rt.random()) << 64 | u128::from(rt.random()),
            term: Term(1),
            created: rt.wall(),
        },
    };
    clear_spares(rt, path).await.map_err(fail("clear the spare segments of", path))?;
    write_nodes(rt, path, &node).await.map_err(fail("write the node file in", path))?;
    if let Err(error) = keep_reserve(rt, path).await {
        tracing::warn!(%error, "no space can be kept for the next start; free some before the node is stopped");
    }
    Ok(DataDir { path: path.to_path_buf(), node, is_new: old.is_none(), _lock: lock })
}

/// Writes the node file and its copy, on a full disk in the space that was kept for them.
async fn write_nodes<R: Runtime>(rt: &R, path: &Path, node: &NodeFile) -> io::Result<()> {
    match write_both(rt, path, node).await {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            match rt.remove(&names::reserve_file(path)).await {
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Err(error),
                removed => removed?,
            }
            // Freed for certain, also where a file system gives space back only with its journal.
            rt.sync_dir(path).await?;
            write_both(rt, path, node).await
        }
        written => written,
    }
}

/// Keeps space for the next start, if that is not done yet. A crash may leave the file without its space: then the next start
/// makes up for it, or does without.
async fn keep_reserve<R: Runtime>(rt: &R, path: &Path) -> io::Result<()> {
    let reserve = names::reserve_file(path);
    let file = match rt.open(&reserve, Open::Write).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => rt.open(&reserve, Open::CreateNew).await?,
        opened => opened?,
    };
    if file.len().await? >= RESERVE_BYTES {
        return Ok(());
    }
    let kept = match file.allocate(RESERVE_BYTES).await {
        Ok(()) => file.sync().await,
        full => full,
    };
    drop(file);
    if kept.is_err() {
        // A part of it would be taken for the whole by its length.
        rt.remove(&reserve).await?;
    }
    kept?;
    rt.sync_dir(path).await
}

async fn write_both<R: Runtime>(rt: &R, path: &Path, node: &NodeFile) -> io::Result<()> {
    for name in [names::NODE, names::NODE_COPY] {
        whole_file::replace(rt, path, name, &node.encode()).await?;
    }
    Ok(())
}

/// Who the directory belongs to; `None` if nothing says so. One of the node file and its copy is enough: the other is damaged,
/// gone, or was not written yet when the last start was cut off. A damaged one is set aside, so that it is not written over.
async fn read_node<R: Runtime>(rt: &R, path: &Path) -> Result<Option<NodeFile>, OpenError> {
    let io = |what| move |error| OpenError::Io { what, path: path.to_path_buf(), error };
    let found = read_nodes(rt, path).await.map_err(io("read the node file in"))?;
    let newer = found.iter().find_map(|(_, node)| match node {
        Some(Err(NodeFileError::Sealed(SealedError::Version { have, max }))) => Some((*have, *max)),
        _ => None,
    });
    if let Some((have, max)) = newer {
        return Err(OpenError::Newer { path: path.to_path_buf(), have, max });
    }
    let best = found.iter().filter_map(|(_, node)| node.as_ref()?.as_ref().ok()).max_by_key(|node| node.term).copied();
    let damaged = found.iter().filter_map(|(name, node)| Some((*name, *node.as_ref()?.as_ref().err()?)));
    let damaged: Vec<_> = damaged.collect();
    let Some(mut best) = best else {
        return match damaged.first() {
            Some((_, error)) => Err(OpenError::Damaged { path: path.to_path_buf(), error: *error }),
            None => Ok(None),
        };
    };
    for (name, error) in &damaged {
        let aside = whole_file::set_aside(rt, path, name).await.map_err(io("set aside the node file in"))?;
        tracing::error!(
            path = %path.join(name).display(), %error, aside,
            "one of the two node files is damaged; it was set aside, and the other one is used"
        );
    }
    if found.iter().filter(|(_, node)| matches!(node, Some(Ok(_)))).count() < found.len() {
        // The other one may have been of one term more.
        best.term = Term(best.term.0 + 1);
    }
    Ok(Some(best))
}

/// What the node file and its copy say; `None` for one that is not there.
pub async fn read_nodes<R: Runtime>(
    rt: &R,
    path: &Path,
) -> io::Result<Vec<(&'static str, Option<Result<NodeFile, NodeFileError>>)>> {
    let mut found = Vec::new();
    for name in [names::NODE, names::NODE_COPY] {
        let file = whole_file::read(rt, &path.join(name)).await?;
        found.push((name, file.map(|file| NodeFile::decode(&file))));
    }
    Ok(found)
}

/// Writes the node file and its copy of a directory in which neither can be read. Those that are there are set aside.
pub async fn write_anew<R: Runtime>(rt: &R, path: &Path, node: &NodeFile) -> io::Result<()> {
    for (name, found) in read_nodes(rt, path).await? {
        if found.is_some() {
            whole_file::set_aside(rt, path, name).await?;
        }
    }
    write_nodes(rt, path, node).await
}

/// Spare segments hold nothing; which worker may use which is only known while the node runs.
async fn clear_spares<R: Runtime>(rt: &R, path: &Path) -> io::Result<()> {
    let dir = names::spare_dir(path);
    for name in rt.list(&dir).await? {
        rt.remove(&dir.join(name)).await?;
    }
    Ok(())
}

#[cfg(all(test, feature = "sim"))]
mod tests;
