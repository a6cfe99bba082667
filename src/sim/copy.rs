//! Disks as things to copy and to spoil: what somebody else than the node does to its files.

use std::io;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;

use super::disk::node::FileState;
use super::disk::tree::{Dir, Node, dir_at, file_at};
use super::{HostId, Sim};
use crate::limits::BLOCK_BYTES;

impl Sim {
    /// Puts a copy of everything on another host's disk, as it can be read now, onto a disk of this simulation. Blocks are
    /// shared, so that it costs little.
    pub fn copy_disk(&self, from: &Self, source: HostId, host: HostId) -> io::Result<()> {
        let root = Rc::clone(&from.core.disk(source).borrow().root);
        self.copy_dir(&root, Path::new("/"), host)
    }

    fn copy_dir(&self, dir: &Rc<Dir>, path: &Path, host: HostId) -> io::Result<()> {
        self.create_dir_all(host, path)?;
        for (name, node) in dir.nodes() {
            let path = path.join(name);
            match node {
                Node::Dir(dir) => self.copy_dir(&dir, &path, host)?,
                Node::File(file) => {
                    let image = file.state.borrow().visible().clone();
                    self.core.disk(host).borrow_mut().put_state(&path, FileState::of(image))?;
                }
            }
        }
        Ok(())
    }

    /// Writes bytes over those of a file, durably. The file grows if it has to.
    pub fn overwrite(&self, host: HostId, path: impl AsRef<Path>, pos: u64, bytes: &[u8]) -> io::Result<()> {
        let file = file_at(&self.core.disk(host).borrow().root, path.as_ref())?;
        let mut state = file.state.borrow_mut();
        state.alter(|image| {
            let block = BLOCK_BYTES as u64;
            let (start, end) = (pos / block * block, (pos + bytes.len() as u64).next_multiple_of(block));
            let mut whole = image.read(start, (end - start) as usize);
            whole.resize((end - start) as usize, 0);
            let at = (pos - start) as usize;
            whole[at..at + bytes.len()].copy_from_slice(bytes);
            image.write(start, &Bytes::from(whole));
            image.grow(pos + bytes.len() as u64);
        });
        Ok(())
    }

    /// Cuts a file short, or makes it longer by zeros, durably.
    pub fn set_len(&self, host: HostId, path: impl AsRef<Path>, len: u64) -> io::Result<()> {
        let file = file_at(&self.core.disk(host).borrow().root, path.as_ref())?;
        file.state.borrow_mut().alter(|image| image.cut(len));
        Ok(())
    }

    /// Removes a file, durably.
    pub fn remove_file(&self, host: HostId, path: impl AsRef<Path>) -> io::Result<()> {
        let disk = self.core.disk(host);
        disk.borrow().remove(path.as_ref())?;
        let dir = dir_at(&disk.borrow().root, path.as_ref().parent().unwrap_or_else(|| Path::new("")))?;
        dir.sync(dir.mark());
        Ok(())
    }
}
