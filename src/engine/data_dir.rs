//! Opening a data directory: lock it, read who it belongs to, begin a new term.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::engine::whole_file;
use crate::format::names;
use crate::format::node::{NodeFile, NodeFileError};
use crate::format::sealed::SealedError;
use crate::runtime::Runtime;
use crate::types::Term;

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
    /// The node file is there but damaged.
    #[error("the node file in {path} is damaged: {error}; restore it from a backup, or see `millstream log verify`")]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        error: NodeFileError,
    },
    /// It holds shards, but no node file.
    #[error("{0} holds shards but no node file: it is not a whole data directory")]
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
    let file = names::node_file(path);
    let found = whole_file::read(rt, &file).await.map_err(fail("read", &file))?;
    let old = match found.as_deref().map(NodeFile::decode) {
        None => None,
        Some(Ok(node)) => Some(node),
        Some(Err(NodeFileError::Sealed(SealedError::Version { have, max }))) => {
            return Err(OpenError::Newer { path: path.to_path_buf(), have, max });
        }
        Some(Err(error)) => return Err(OpenError::Damaged { path: path.to_path_buf(), error }),
    };
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
    whole_file::replace(rt, path, "node", &node.encode()).await.map_err(fail("write", &file))?;
    clear_spares(rt, path).await.map_err(fail("clear the spare segments of", path))?;
    Ok(DataDir { path: path.to_path_buf(), node, is_new: old.is_none(), _lock: lock })
}

/// Spare segments hold nothing; which worker may use which is only known while the node runs.
async fn clear_spares<R: Runtime>(rt: &R, path: &Path) -> io::Result<()> {
    let dir = names::spare_dir(path);
    for name in rt.list(&dir).await? {
        rt.remove(&dir.join(name)).await?;
    }
    Ok(())
}
