//! Names, maps, locks and space.

use std::io::ErrorKind;

use super::files::{file_of, filled};
use super::{Place, eventually};
use crate::limits::BLOCK_BYTES;
use crate::runtime::{File, Open, Runtime};

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Making, listing and removing names.
pub async fn names_come_and_go<R: Runtime>(rt: &R, place: &Place) {
    let dir = place.fresh(rt, "names_come_and_go").await;
    let sub = dir.join("sub");
    rt.create_dir(&sub).await.expect("the name is free");
    rt.create_dir(&sub).await.expect("fine if it exists");
    assert_eq!(kind(rt.create_dir(&dir.join("missing/deep")).await), Some(ErrorKind::NotFound));
    for name in ["b", "a", "c"] {
        drop(file_of(rt, &sub.join(name), 1, 1).await);
    }
    assert!(rt.create_dir(&sub.join("a")).await.is_err(), "a file has the name");
    let mut names = rt.list(&sub).await.expect("it exists");
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(rt.list(&dir).await.expect("it exists"), ["sub"], "directories are listed, their files are not");
    rt.sync_dir(&sub).await.expect("syncable");
    rt.sync_dir(&dir).await.expect("syncable");

    assert!(rt.remove_dir(&sub).await.is_err(), "not empty");
    for name in ["a", "b", "c"] {
        rt.remove(&sub.join(name)).await.expect("it exists");
    }
    assert_eq!(kind(rt.remove(&sub.join("a")).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(rt.open(&sub.join("a"), Open::Read).await), Some(ErrorKind::NotFound));
    rt.remove_dir(&sub).await.expect("empty");
    assert_eq!(kind(rt.list(&sub).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(rt.remove_dir(&sub).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(rt.sync_dir(&sub).await), Some(ErrorKind::NotFound));
}

/// Renaming takes the place of what was there.
pub async fn renaming_replaces<R: Runtime>(rt: &R, place: &Place) {
    let dir = place.fresh(rt, "renaming_replaces").await;
    let (from, to) = (dir.join("from"), dir.join("to"));
    assert_eq!(kind(rt.rename(&from, &to).await), Some(ErrorKind::NotFound));
    drop(file_of(rt, &from, 1, 1).await);
    drop(file_of(rt, &to, 2, 2).await);
    rt.rename(&from, &to).await.expect("both exist");
    assert_eq!(rt.list(&dir).await.expect("it exists"), ["to"]);
    let file = rt.open(&to, Open::Read).await.expect("it exists");
    assert!(*file.read_at(0, 4 * BLOCK_BYTES).await.expect("readable") == *filled(rt, 1, 1));
    let sub = dir.join("sub");
    rt.create_dir(&sub).await.expect("the name is free");
    rt.rename(&to, &sub.join("moved")).await.expect("across directories");
    assert_eq!(rt.list(&sub).await.expect("it exists"), ["moved"]);
}

/// An open file is the file, not its name.
pub async fn renaming_keeps_open_files<R: Runtime>(rt: &R, place: &Place) {
    let dir = place.fresh(rt, "renaming_keeps_open_files").await;
    let (name, moved) = (dir.join("name"), dir.join("moved"));
    let first = file_of(rt, &name, 3, 1).await;
    rt.rename(&name, &moved).await.expect("it exists");
    drop(file_of(rt, &name, 1, 2).await);
    assert_eq!(first.len().await.expect("open"), 3 * BLOCK_BYTES as u64);
    first.write_at(&filled(rt, 1, 9), 0).await.expect("writable");
    first.sync().await.expect("syncable");
    let file = rt.open(&moved, Open::Read).await.expect("it exists");
    assert!(*file.read_at(0, BLOCK_BYTES).await.expect("readable") == *filled(rt, 1, 9));
}

/// A map shows the file's bytes.
pub async fn maps<R: Runtime>(rt: &R, place: &Place) {
    let dir = place.fresh(rt, "maps").await;
    let path = dir.join("file");
    assert_eq!(kind(rt.map(&path).await), Some(ErrorKind::NotFound));
    let file = file_of(rt, &path, 5, 5).await;
    file.truncate(5_001).await.expect("writable");
    file.sync().await.expect("syncable");
    drop(file);
    let map = rt.map(&path).await.expect("it exists");
    assert!(*map == filled(rt, 5, 5)[..5_001]);
    drop(rt.open(&dir.join("empty"), Open::CreateNew).await.expect("the name is free"));
    assert!(rt.map(&dir.join("empty")).await.expect("it exists").is_empty());
}

/// A path is locked once at a time.
pub async fn locks<R: Runtime>(rt: &R, place: &Place) {
    let dir = place.fresh(rt, "locks").await;
    let held = rt.lock(&dir.join("one")).await.expect("nobody holds it");
    assert_eq!(kind(rt.lock(&dir.join("one")).await), Some(ErrorKind::WouldBlock));
    let _other = rt.lock(&dir.join("two")).await.expect("another path");
    drop(held);
    let again = eventually(rt, "the lock is free", async || rt.lock(&dir.join("one")).await.ok()).await;
    assert_eq!(kind(rt.lock(&dir.join("one")).await), Some(ErrorKind::WouldBlock));
    drop(again);
    assert_eq!(kind(rt.lock(&dir.join("missing/one")).await), Some(ErrorKind::NotFound));
}

/// There is some space, and no more of it free than there is.
pub async fn disk_space<R: Runtime>(rt: &R, place: &Place) {
    let space = rt.disk_space(&place.dir).await.expect("it exists");
    assert!(space.total_bytes > 0);
    assert!(space.free_bytes <= space.total_bytes, "{space:?}");
    assert_eq!(kind(rt.disk_space(&place.dir.join("missing")).await), Some(ErrorKind::NotFound));
}
