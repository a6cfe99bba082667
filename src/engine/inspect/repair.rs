//! Putting a damaged directory into a state that opens: what has to be done, and doing it.
//!
//! Nothing is deleted. Losses are accepted by listing them beside the log; a file that cannot be used any more is set aside in its
//! directory or moved to `quarantine`, byte for byte.
//!
//! In crash order, for a catalogue that is begun anew: 1. the state is written beside the files, as [`names::BEGUN_ANEW`]; a
//! start refuses from here on; 2. every other file is moved away; 3. the state gets the name of a snapshot. After a crash
//! another repair goes on with 2.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{Flow, InspectError, Inspector, LogDir, Scope, Sight, fail};
use crate::catalog::{Catalog, Command};
use crate::engine::data_dir;
use crate::engine::recover::{self, Damage, Depth};
use crate::engine::whole_file;
use crate::format::frame::Kind;
use crate::format::names;
use crate::format::node::NodeFile;
use crate::format::record::Records;
use crate::runtime::Runtime;
use crate::types::{CATALOG_GROUP, Offset, Term};

/// What a log has lost, and nobody has accepted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The log.
    pub log: LogDir,
    /// What is lost.
    pub damage: Vec<Damage>,
}

/// One thing that has to be done, so that everything opens and takes puts again.
#[derive(Clone, Debug)]
pub enum Remedy {
    /// Neither node file can be read: written anew, with a new identity and a term above every one in the logs.
    Node(NodeFile),
    /// The catalogue does not open: begun anew with the newest state that is certain.
    Catalog {
        /// The state.
        state: Box<Catalog>,
        /// The offset of the first command that is not in it.
        upto: Offset,
    },
    /// A shard of which the catalogue knows nothing, and whose number it would give out again: moved away.
    Shard(LogDir),
    /// A list of accepted losses that cannot be read: set aside.
    Losses(LogDir),
    /// Losses that nobody has accepted, whether a start notices them or only readers do: accepted.
    Accept(Loss),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(
                f,
                "no node file can be read: to be written anew, in term {}; what clients kept of the old identity (iterators, page tokens) becomes invalid",
                node.term
            ),
            Self::Catalog { state, upto } => write!(
                f,
                "the catalogue does not open: to be begun anew with the {} streams and {} shards that it had before its command at offset {upto}; commands from there on are given up, its files are moved to `quarantine`",
                state.streams().len(),
                state.shard_count()
            ),
            Self::Shard(log) => {
                write!(f, "{}: the catalogue knows nothing of it: to be moved to `quarantine`", log.path.display())
            }
            Self::Losses(log) => {
                write!(f, "{}: the list of accepted losses is damaged: to be set aside", log.path.display())
            }
            Self::Accept(loss) => {
                for (at, damage) in loss.damage.iter().enumerate() {
                    let line = if at == 0 { "" } else { "\n" };
                    write!(f, "{line}{}: {damage}: to be accepted", loss.log.path.display())?;
                }
                Ok(())
            }
        }
    }
}

impl<R: Runtime> Inspector<R> {
    /// Everything that has to be done, in the order in which to do it. Changes nothing.
    pub async fn remedies(&self) -> Result<Vec<Remedy>, InspectError> {
        let mut out = Vec::new();
        if let Scope::Data = self.scope {
            out.extend(self.node_remedy().await?);
            let (state, remedy) = self.catalog_remedy().await?;
            out.extend(remedy);
            let strays = self.logs().await?.into_iter();
            let strays = strays.filter(|log| log.group != CATALOG_GROUP && !state.has_made(log.group));
            out.extend(strays.map(Remedy::Shard));
        }
        let is_moved = |log: &LogDir| out.iter().any(|remedy| matches!(remedy, Remedy::Shard(moved) if moved == log));
        let logs: Vec<_> = self.logs().await?.into_iter().filter(|log| !is_moved(log)).collect();
        for log in logs.into_iter().filter(|log| log.group != CATALOG_GROUP) {
            if recover::read_losses(&self.rt, &log.path).await.is_err() {
                out.push(Remedy::Losses(log.clone()));
            }
            let loss = self.loss_of(log).await?;
            out.extend((!loss.damage.is_empty()).then_some(Remedy::Accept(loss)));
        }
        Ok(out)
    }

    /// Does it. What it takes out of use is kept; reading what is lost still fails and says where intact records resume.
    pub async fn apply(&self, remedy: &Remedy) -> Result<(), InspectError> {
        match remedy {
            Remedy::Node(node) => {
                let done = data_dir::write_anew(&self.rt, &self.path, node).await;
                done.map_err(fail("write the node file in", &self.path))
            }
            Remedy::Catalog { state, .. } => self.begin_anew(state).await,
            Remedy::Shard(log) => {
                let files = self.rt.list(&log.path).await.map_err(fail("list", &log.path))?;
                self.move_away(&log.path, &files).await?;
                self.rt.remove_dir(&log.path).await.map_err(fail("remove the empty directory", &log.path))?;
                let parent = names::shards_dir(&self.path);
                self.rt.sync_dir(&parent).await.map_err(fail("sync", &parent))
            }
            Remedy::Losses(log) => {
                let done = whole_file::set_aside(&self.rt, &log.path, names::LOSSES).await;
                done.map(drop).map_err(fail("set aside the losses of", &log.path))
            }
            Remedy::Accept(loss) => {
                let done = recover::accept_losses(&self.rt, &loss.log.path, &loss.damage).await;
                done.map_err(fail("write losses in", &loss.log.path))
            }
        }
    }

    /// The losses in a log that are not accepted: as a start finds them, and those that an index hides from it.
    async fn loss_of(&self, log: LogDir) -> Result<Loss, InspectError> {
        let mut known = recover::read_losses(&self.rt, &log.path).await.unwrap_or_default();
        let mut found = Vec::new();
        for depth in [Depth::Start, Depth::Everything] {
            let mut see = |_: Sight<'_>| Flow::Continue(());
            let examined = recover::examine(&self.rt, log.group, &log.path, depth, None, &mut see).await?;
            for damage in examined.report.damage {
                if !damage.is_among(&known) {
                    known.push(damage);
                    found.push(damage);
                }
            }
        }
        Ok(Loss { log, damage: found })
    }

    async fn node_remedy(&self) -> Result<Option<Remedy>, InspectError> {
        let found =
            data_dir::read_nodes(&self.rt, &self.path).await.map_err(fail("read the node file in", &self.path))?;
        if found.iter().any(|(_, node)| matches!(node, Some(Ok(_)))) {
            return Ok(None);
        }
        let mut term = Term(0);
        for log in self.logs().await? {
            let mut see = |_: Sight<'_>| Flow::Continue(());
            let examined = recover::examine(&self.rt, log.group, &log.path, Depth::Start, None, &mut see).await?;
            term = term.max(examined.tip.term);
        }
        let node_id = u128::from(self.rt.random()) << 64 | u128::from(self.rt.random());
        Ok(Some(Remedy::Node(NodeFile { node_id, term: Term(term.0 + 1), created: self.rt.wall() })))
    }

    /// The state that the catalogue has, or will have once it is begun anew.
    async fn catalog_remedy(&self) -> Result<(Catalog, Option<Remedy>), InspectError> {
        let dir = names::catalog_dir(&self.path);
        let Some(files) = self.list_if_there(&dir).await? else {
            let remedy = Remedy::Catalog { state: Box::default(), upto: Offset(0) };
            return Ok((Catalog::new(), Some(remedy)));
        };
        if let Ok(Some(file)) = whole_file::read(&self.rt, &dir.join(names::BEGUN_ANEW)).await
            && let Ok(state) = Catalog::decode_snapshot(&file)
        {
            let remedy = Remedy::Catalog { state: Box::new(state.clone()), upto: Offset(0) };
            return Ok((state, Some(remedy)));
        }
        let (mut state, mut next) = self.newest_snapshot(&dir).await?;
        let mut commands = Vec::new();
        let mut see = |sight: Sight<'_>| {
            if let Sight::Frame { header, body, .. } = sight
                && header.kind == Kind::Data
            {
                let records = Records::new(body).map_while(Result::ok).enumerate();
                commands.extend(records.map(|(at, record)| (header.base_offset.plus(at as u64), record.data.to_vec())));
            }
            Flow::Continue(())
        };
        let examined = recover::examine(&self.rt, CATALOG_GROUP, &dir, Depth::Everything, None, &mut see).await?;
        let mut is_whole = examined.tip.offset >= next
            && !files.iter().any(|name| name == names::BEGUN_ANEW)
            && examined.report.damage.iter().all(|damage| damage.is_covered(next));
        let first = next;
        for (offset, bytes) in commands.into_iter().filter(|(offset, _)| *offset >= first) {
            let applied = offset == next && Command::decode(&bytes).is_ok_and(|command| state.apply(&command).is_ok());
            if !applied {
                is_whole = false;
                break;
            }
            next = offset.plus(1);
        }
        let remedy = (!is_whole).then(|| Remedy::Catalog { state: Box::new(state.clone()), upto: next });
        Ok((state, remedy))
    }

    async fn begin_anew(&self, state: &Catalog) -> Result<(), InspectError> {
        let dir = names::catalog_dir(&self.path);
        whole_file::create_dir(&self.rt, &dir).await.map_err(fail("create", &dir))?;
        let contents = state.clone().begun_anew().encode_snapshot();
        let written = whole_file::replace(&self.rt, &dir, names::BEGUN_ANEW, &contents).await;
        written.map_err(fail("write the state of the catalogue in", &dir))?;
        let mut files = self.rt.list(&dir).await.map_err(fail("list", &dir))?;
        files.retain(|name| name != names::BEGUN_ANEW);
        self.move_away(&dir, &files).await?;
        let renamed = self.rt.rename(&dir.join(names::BEGUN_ANEW), &dir.join(names::snapshot(0))).await;
        renamed.map_err(fail("rename the state of the catalogue in", &dir))?;
        self.rt.sync_dir(&dir).await.map_err(fail("sync", &dir))
    }

    /// Moves files of `dir` to a directory of their own in `quarantine`. Their names there are durable before those here are gone.
    async fn move_away(&self, dir: &Path, files: &[String]) -> Result<(), InspectError> {
        let to = self.new_quarantine(dir).await?;
        for name in files {
            let path = dir.join(name);
            self.rt.rename(&path, &to.join(name)).await.map_err(fail("move", &path))?;
        }
        self.rt.sync_dir(&to).await.map_err(fail("sync", &to))?;
        self.rt.sync_dir(dir).await.map_err(fail("sync", dir))
    }

    /// A new directory in `quarantine`, named after `dir`.
    async fn new_quarantine(&self, dir: &Path) -> Result<PathBuf, InspectError> {
        let quarantine = names::quarantine_dir(&self.path);
        whole_file::create_dir(&self.rt, &quarantine).await.map_err(fail("create", &quarantine))?;
        let taken = self.rt.list(&quarantine).await.map_err(fail("list", &quarantine))?;
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let free = (0..).map(|n| names::aside(&name, n)).find(|aside| !taken.contains(aside));
        let to = quarantine.join(free.expect("a directory is finite"));
        whole_file::create_dir(&self.rt, &to).await.map_err(fail("create", &to))?;
        Ok(to)
    }
}
