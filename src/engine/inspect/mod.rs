//! The operator's tools for a data directory or one log of it, while no node runs: `millstream log dump | verify |
//! rebuild-index | repair DIR`.
//!
//! They read with the scan of recovery, so what they say is what a start would find. [`Inspector::dump`],
//! [`Inspector::verify`] and [`Inspector::remedies`] change nothing; [`Inspector::rebuild_index`] writes index files, which
//! are derived data; [`Inspector::apply`] does what a repair has to do. Nothing is ever deleted.

mod dump;
mod finding;
mod rebuild;
mod repair;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use self::dump::DumpOptions;
pub use self::finding::{Finding, Severity, ShardName, What};
pub use self::rebuild::{Outcome, Rebuilt};
pub use self::repair::{Loss, Remedy};
pub use self::verify::{AtStart, LogSummary, Totals, Verified};
pub use super::recover::{Damage, Flow, Sight};
use crate::engine::recover::RecoverError;
use crate::format::names;
use crate::format::segment::SegmentHeader;
use crate::limits::BLOCK_BYTES;
use crate::runtime::{File, Open, Runtime};
use crate::types::{CATALOG_GROUP, GroupId};

/// The directory of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// Whose log it is.
    pub group: GroupId,
    /// Where it is.
    pub path: PathBuf,
}

/// A data directory or one log of it. Holds the directory's lock, so that no node starts meanwhile.
pub struct Inspector<R: Runtime> {
    rt: R,
    path: PathBuf,
    scope: Scope,
    _lock: Option<R::Lock>,
}

#[derive(Clone, Debug)]
enum Scope {
    Data,
    Log(LogDir),
}

/// Why a directory cannot be inspected.
#[derive(Debug, Error)]
pub enum InspectError {
    /// A node runs on it.
    #[error("the data directory {0} is in use by a running node; stop it first")]
    Locked(PathBuf),
    /// It is neither a data directory nor a log's.
    #[error("{0} is neither a data directory nor the directory of a log")]
    NotOurs(PathBuf),
    /// No log in it has this group.
    #[error("{path} has no log of group {group}")]
    NoSuchLog {
        /// The directory.
        path: PathBuf,
        /// The group asked for.
        group: GroupId,
    },
    /// A log cannot be read.
    #[error(transparent)]
    Log(#[from] RecoverError),
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

impl<R: Runtime> Inspector<R> {
    /// Takes hold of the data directory or log directory at `path`, changing nothing. Fails if a node runs on it.
    pub async fn open(rt: R, path: &Path) -> Result<Self, InspectError> {
        let names = rt.list(path).await.map_err(fail("list", path))?;
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        let scope = if has(names::NODE) || has(names::NODE_COPY) || has("shards") {
            Scope::Data
        } else {
            let group = group_of(&rt, path, &names).await.map_err(fail("read", path))?;
            let group = group.ok_or_else(|| InspectError::NotOurs(path.to_path_buf()))?;
            Scope::Log(LogDir { group, path: path.to_path_buf() })
        };
        // A log's data directory is one level up for the catalogue, two for a shard. A copy elsewhere has none.
        let above = [Some(path), path.parent(), path.parent().and_then(Path::parent)];
        let mut lock = None;
        for data in above.into_iter().flatten() {
            // Only a lock file that is there is locked: a verification creates nothing.
            let Ok(names) = rt.list(data).await else { continue };
            if names.iter().any(|name| name == "LOCK") {
                lock = Some(match rt.lock(&names::lock_file(data)).await {
                    Ok(lock) => lock,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Err(InspectError::Locked(data.to_path_buf()));
                    }
                    Err(error) => return Err(fail("lock", data)(error)),
                });
                break;
            }
        }
        Ok(Self { rt, path: path.to_path_buf(), scope, _lock: lock })
    }

    /// The logs in it: the catalogue first, then shards by group.
    pub async fn logs(&self) -> Result<Vec<LogDir>, InspectError> {
        if let Scope::Log(log) = &self.scope {
            return Ok(vec![log.clone()]);
        }
        let catalog = names::catalog_dir(&self.path);
        let mut logs = Vec::new();
        if self.list_if_there(&catalog).await?.is_some() {
            logs.push(LogDir { group: CATALOG_GROUP, path: catalog });
        }
        let names = self.list_if_there(&names::shards_dir(&self.path)).await?.unwrap_or_default();
        let mut groups: Vec<_> = names.iter().filter_map(|name| names::parse_shard_dir(name)).collect();
        groups.sort_unstable();
        logs.extend(groups.into_iter().map(|group| LogDir { group, path: names::shard_dir(&self.path, group) }));
        Ok(logs)
    }

    /// Names in a directory; `None` if it does not exist.
    async fn list_if_there(&self, path: &Path) -> Result<Option<Vec<String>>, InspectError> {
        match self.rt.list(path).await {
            Ok(mut names) => {
                names.sort_unstable();
                Ok(Some(names))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fail("list", path)(error)),
        }
    }
}

/// The group of the log in a directory: as its name says, else as its first readable segment does.
async fn group_of<R: Runtime>(rt: &R, path: &Path, names: &[String]) -> io::Result<Option<GroupId>> {
    let mut segments: Vec<_> = names.iter().filter_map(|name| names::parse_segment(name)).collect();
    let named = path.file_name().and_then(|name| name.to_str()).and_then(|name| match name {
        "catalog" => Some(CATALOG_GROUP),
        name => names::parse_shard_dir(name),
    });
    if named.is_some() {
        return Ok(named);
    }
    segments.sort_unstable();
    for number in segments {
        let file = rt.open(&path.join(names::segment(number)), Open::Read).await?;
        if let Ok(header) = SegmentHeader::decode(&file.read_at(0, BLOCK_BYTES).await?) {
            return Ok(Some(header.group));
        }
    }
    Ok(None)
}

fn fail(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InspectError + use<> {
    let path = path.to_path_buf();
    move |error| InspectError::Io { what, path, error }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
