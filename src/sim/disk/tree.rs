//! Names: a tree of directories, each with the names that can be seen, those that would survive a power failure, and the
//! changes between the two, which become durable in order.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::path::{Component, Path};
use std::rc::Rc;

use super::node::{FileNode, Mood};
use super::{DiskStats, Space};
use crate::sim::prng::Prng;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// A file.
    File(Rc<FileNode>),
    /// A directory.
    Dir(Rc<Dir>),
}

/// A directory.
#[derive(Debug, Default)]
pub(crate) struct Dir {
    state: RefCell<DirState>,
    /// The power failure it was last resolved in; a directory reached by two names is resolved once.
    resolved: Cell<u64>,
}

#[derive(Debug, Default)]
struct DirState {
    visible: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    changes: VecDeque<(u64, Change)>,
    next_seq: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Add(String, Node),
    Remove(String),
    Rename(String, String),
}

impl Change {
    fn apply(self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Add(name, node) => {
                names.insert(name, node);
            }
            Self::Remove(name) => {
                names.remove(&name);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(&from) {
                    names.insert(to, node);
                }
            }
        }
    }
}

impl Dir {
    /// What `name` stands for.
    pub(crate) fn get(&self, name: &str) -> Option<Node> {
        self.state.borrow().visible.get(name).cloned()
    }

    /// The visible names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state.borrow().visible.keys().cloned().collect()
    }

    /// The visible names with what they stand for.
    pub(crate) fn nodes(&self) -> Vec<(String, Node)> {
        self.state.borrow().visible.iter().map(|(name, node)| (name.clone(), node.clone())).collect()
    }

    /// Adds a name, or lets it stand for something else.
    pub(crate) fn add(&self, name: &str, node: &Node, space: &Space) {
        if let Node::File(file) = node {
            file.links.set(file.links.get() + 1);
        }
        let replaced = self.change(Change::Add(name.to_owned(), node.clone()), name);
        unlink(replaced, space);
    }

    /// Takes a name away.
    pub(crate) fn remove(&self, name: &str, space: &Space) {
        let removed = self.change(Change::Remove(name.to_owned()), name);
        unlink(removed, space);
    }

    /// Gives a file of this directory another name in it, replacing that.
    pub(crate) fn rename(&self, from: &str, to: &str, space: &Space) {
        let replaced = self.change(Change::Rename(from.to_owned(), to.to_owned()), to);
        unlink(replaced, space);
    }

    /// Applies a change and returns what `displaced` stood for before.
    fn change(&self, change: Change, displaced: &str) -> Option<Node> {
        let state = &mut *self.state.borrow_mut();
        let old = state.visible.get(displaced).cloned();
        change.clone().apply(&mut state.visible);
        state.changes.push_back((state.next_seq, change));
        state.next_seq += 1;
        old
    }

    /// What a sync that begins now covers.
    pub(crate) fn mark(&self) -> u64 {
        self.state.borrow().next_seq
    }

    /// A sync that began at `mark` succeeded.
    pub(crate) fn sync(&self, mark: u64) {
        let state = &mut *self.state.borrow_mut();
        let covered = state.changes.partition_point(|(seq, _)| *seq < mark);
        for (_, change) in state.changes.drain(..covered) {
            change.apply(&mut state.durable);
        }
    }

    /// The power fails for the `failure`-th time, here and below.
    pub(crate) fn lose_power(&self, failure: u64, mood: Mood, rng: &mut Prng, stats: &mut DiskStats) {
        if self.resolved.replace(failure) == failure {
            return;
        }
        let nodes: Vec<Node> = {
            let state = &mut *self.state.borrow_mut();
            let count = state.changes.len() as u64;
            let kept = match mood {
                Mood::LoseAll => 0,
                Mood::KeepAll => count,
                Mood::Mixed => rng.below(count + 1),
            };
            stats.names_kept += kept;
            stats.names_lost += count - kept;
            for (number, (_, change)) in (0..).zip(std::mem::take(&mut state.changes)) {
                if number < kept {
                    change.apply(&mut state.durable);
                }
            }
            state.visible = state.durable.clone();
            state.durable.values().cloned().collect()
        };
        for node in nodes {
            match node {
                Node::Dir(dir) => dir.lose_power(failure, mood, rng, stats),
                Node::File(file) => file.state.borrow_mut().lose_power(mood, rng, stats),
            }
        }
    }

    /// Calls `visit` with the path of every file here and below, in order.
    pub(crate) fn visit(&self, path: &str, visit: &mut impl FnMut(&str, &Rc<FileNode>)) {
        for (name, node) in self.nodes() {
            let path = format!("{path}/{name}");
            match node {
                Node::Dir(dir) => dir.visit(&path, visit),
                Node::File(file) => visit(&path, &file),
            }
        }
    }
}

fn unlink(node: Option<Node>, space: &Space) {
    if let Some(Node::File(file)) = node {
        file.release(&file.links, space);
    }
}

/// The directory at `path`.
pub(crate) fn dir_at(root: &Rc<Dir>, path: &Path) -> io::Result<Rc<Dir>> {
    let mut at = vec![Rc::clone(root)];
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                if at.len() > 1 {
                    at.pop();
                }
            }
            Component::Normal(name) => match at[at.len() - 1].get(text(name)?) {
                Some(Node::Dir(dir)) => at.push(dir),
                Some(Node::File(_)) => return Err(ErrorKind::NotADirectory.into()),
                None => return Err(ErrorKind::NotFound.into()),
            },
        }
    }
    Ok(Rc::clone(&at[at.len() - 1]))
}

/// The directory that holds, or would hold, the last name of `path`, and that name.
pub(crate) fn parent_of<'a>(root: &Rc<Dir>, path: &'a Path) -> io::Result<(Rc<Dir>, &'a str)> {
    let name = text(path.file_name().ok_or(ErrorKind::InvalidInput)?)?;
    let parent = path.parent().unwrap_or_else(|| Path::new(""));
    Ok((dir_at(root, parent)?, name))
}

/// The file at `path`.
pub(crate) fn file_at(root: &Rc<Dir>, path: &Path) -> io::Result<Rc<FileNode>> {
    let (dir, name) = parent_of(root, path)?;
    match dir.get(name) {
        Some(Node::File(file)) => Ok(file),
        Some(Node::Dir(_)) => Err(ErrorKind::IsADirectory.into()),
        None => Err(ErrorKind::NotFound.into()),
    }
}

fn text(name: &std::ffi::OsStr) -> io::Result<&str> {
    name.to_str().ok_or_else(|| ErrorKind::InvalidInput.into())
}
