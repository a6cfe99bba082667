//! Files and the buffers they are read into and written from.

use std::io::ErrorKind;
use std::path::Path;

use futures_lite::future::{poll_once, zip};

use super::{Place, soon};
use crate::limits::BLOCK_BYTES;
use crate::runtime::{File, Open, Runtime};
use crate::types::Slab;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// A buffer of `blocks` blocks, all of `byte` but for the number of each block at its start.
pub(super) fn filled<R: Runtime>(rt: &R, blocks: usize, byte: u8) -> R::Buf {
    let mut buf = rt.alloc(blocks * BLOCK_BYTES);
    for (number, block) in buf.as_mut().chunks_mut(BLOCK_BYTES).enumerate() {
        block.fill(byte);
        block[..8].copy_from_slice(&(number as u64).to_le_bytes());
    }
    rt.freeze(buf, blocks * BLOCK_BYTES)
}

/// A new file of `blocks` such blocks.
pub(super) async fn file_of<R: Runtime>(rt: &R, path: &Path, blocks: usize, byte: u8) -> R::File {
    let file = rt.open(path, Open::CreateNew).await.expect("the name is free");
    file.write_at(&filled(rt, blocks, byte), 0).await.expect("there is space");
    file
}

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// What must exist and what must not.
pub async fn opening<R: Runtime>(rt: &R, place: &Place) {
    let path = place.fresh(rt, "opening").await.join("file");
    assert_eq!(kind(rt.open(&path, Open::Read).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(rt.open(&path, Open::Write).await), Some(ErrorKind::NotFound));
    let file = rt.open(&path, Open::CreateNew).await.expect("the name is free");
    assert_eq!(file.len().await.expect("open"), 0);
    assert_eq!(kind(rt.open(&path, Open::CreateNew).await), Some(ErrorKind::AlreadyExists));
    file.write_at(&filled(rt, 1, 1), 0).await.expect("writable");
    drop(file);
    let file = rt.open(&path, Open::Read).await.expect("it exists");
    assert_eq!(file.len().await.expect("open"), BLOCK);
    assert!(file.write_at(&filled(rt, 1, 2), 0).await.is_err(), "opened for reading");
    let file = rt.open(&path, Open::Write).await.expect("it exists");
    assert!(*file.read_at(0, BLOCK_BYTES).await.expect("readable") == *filled(rt, 1, 1));
    file.settled().await.expect("nobody else has it open for writing");
    assert!(rt.open(Path::new("a\0b"), Open::Read).await.is_err());
}

/// Reading gives what was written last, at once and after a sync.
pub async fn what_was_written_is_read<R: Runtime>(rt: &R, place: &Place) {
    let path = place.fresh(rt, "what_was_written_is_read").await.join("file");
    let file = file_of(rt, &path, 4, 1).await;
    file.write_at(&filled(rt, 1, 9), 2 * BLOCK).await.expect("writable");
    file.sync().await.expect("syncable");
    let read = file.read_at(0, 4 * BLOCK_BYTES).await.expect("readable");
    let (old, new) = (filled(rt, 4, 1), filled(rt, 1, 9));
    assert!(read[..2 * BLOCK_BYTES] == old[..2 * BLOCK_BYTES]);
    assert!(read[2 * BLOCK_BYTES..3 * BLOCK_BYTES] == *new);
    assert!(read[3 * BLOCK_BYTES..] == old[3 * BLOCK_BYTES..]);
    assert!(*file.read_at(2 * BLOCK, BLOCK_BYTES).await.expect("readable") == *new);
}

/// Reads are short only at the end of the file, where what there is comes back.
pub async fn reads_end_at_the_end<R: Runtime>(rt: &R, place: &Place) {
    let path = place.fresh(rt, "reads_end_at_the_end").await.join("file");
    let file = file_of(rt, &path, 3, 5).await;
    let whole = filled(rt, 3, 5);
    assert_eq!(file.read_at(0, 3 * BLOCK_BYTES).await.expect("readable").len(), 3 * BLOCK_BYTES);
    assert!(*file.read_at(BLOCK, 8 * BLOCK_BYTES).await.expect("readable") == whole[BLOCK_BYTES..]);
    assert!(file.read_at(3 * BLOCK, BLOCK_BYTES).await.expect("at the end").is_empty());
    assert!(file.read_at(100 * BLOCK, BLOCK_BYTES).await.expect("beyond the end").is_empty());
    assert!(file.read_at(0, 0).await.expect("nothing wanted").is_empty());
    file.truncate(5_000).await.expect("writable");
    assert_eq!(file.len().await.expect("open"), 5_000);
    assert!(*file.read_at(0, 2 * BLOCK_BYTES).await.expect("readable") == whole[..5_000]);
    assert!(*file.read_at(BLOCK, BLOCK_BYTES).await.expect("readable") == whole[BLOCK_BYTES..5_000]);
}

/// Buffers are aligned and zero, also when the memory was used before; a frozen one shows its first bytes.
pub async fn buffers_start_zeroed<R: Runtime>(rt: &R, _: &Place) {
    for round in 0..8 {
        for blocks in [1, 2, 16, 300] {
            let mut buf = rt.alloc(blocks * BLOCK_BYTES);
            assert_eq!(buf.capacity(), blocks * BLOCK_BYTES);
            assert!(buf.as_mut().as_ptr().addr().is_multiple_of(BLOCK_BYTES));
            assert!(buf.as_mut().iter().all(|byte| *byte == 0), "round {round}, {blocks} blocks");
            buf.as_mut().fill(0xFF);
            let frozen = rt.freeze(buf, blocks.div_ceil(2) * BLOCK_BYTES);
            let shared = frozen.clone();
            drop(frozen);
            assert_eq!(shared.len(), blocks.div_ceil(2) * BLOCK_BYTES);
            assert!(shared.iter().all(|byte| *byte == 0xFF));
        }
    }
    let nothing = rt.alloc(BLOCK_BYTES);
    assert!(rt.freeze(nothing, 0).is_empty());
}

/// What was not written of a buffer reads as zero, also in memory that was used before: gaps, the end, parts cleared again.
pub async fn buffers_show_what_was_written<R: Runtime>(rt: &R, _: &Place) {
    const LEN: usize = 4 * BLOCK_BYTES;
    let dirty: Vec<R::Buf> = (0..16).map(|_| filled(rt, 4, 0xEE)).collect();
    drop(dirty);
    let mut buf = rt.alloc(LEN);
    let mut expected = vec![0; LEN];
    for (at, len) in [(100, 5), (0, 50), (3_000, 3_000), (6_000, 1), (0, 7_000), (9_000, 10)] {
        let bytes = vec![at as u8 | 1; len];
        buf.put(at, &bytes);
        expected[at..at + len].copy_from_slice(&bytes);
    }
    // Within what was written, over its end, behind it, and nothing.
    for range in [10..20, 9_005..9_500, 10_000..10_100, 5..5] {
        buf.put_zeros(range.clone());
        expected[range].fill(0);
    }
    buf.put(10_050, &[7; 100]);
    expected[10_050..10_150].fill(7);
    assert!(*rt.freeze(buf, LEN) == expected[..]);
}

/// What was written is never passed over by who looks for data, wherever it lies; where nothing was written the file system may
/// say so, and nothing is behind the end.
pub async fn data_is_found<R: Runtime>(rt: &R, place: &Place) {
    let path = place.fresh(rt, "data_is_found").await.join("file");
    let file = rt.open(&path, Open::CreateNew).await.expect("the name is free");
    file.allocate(64 * BLOCK).await.expect("there is space");
    assert!(file.data_from(0).await.expect("answered").is_none_or(|at| at == 0));
    for at in [40, 7, 63] {
        file.write_at(&filled(rt, 1, 9), at * BLOCK).await.expect("writable");
        file.sync().await.expect("synced");
    }
    for (from, at) in [(0, 7), (7, 7), (8, 40), (40, 40), (41, 63), (63, 63)] {
        let found = file.data_from(from * BLOCK).await.expect("answered").expect("there is some");
        assert!((from * BLOCK..=at * BLOCK).contains(&found), "from {from}: {found}");
    }
    assert_eq!(file.data_from(64 * BLOCK).await.expect("answered"), None);
    assert_eq!(file.data_from(640 * BLOCK).await.expect("answered"), None);
}

/// Writes to disjoint ranges may run at the same time, beyond the end too.
pub async fn concurrent_writes<R: Runtime>(rt: &R, place: &Place) {
    const WRITES: usize = 32;
    let path = place.fresh(rt, "concurrent_writes").await.join("file");
    let file = rt.open(&path, Open::CreateNew).await.expect("the name is free");
    file.allocate(8 * BLOCK).await.expect("there is space");
    let bufs: Vec<R::Buf> = (0..WRITES).map(|i| filled(rt, 2, i as u8 + 1)).collect();
    let mut writes: Vec<_> =
        bufs.iter().enumerate().rev().map(|(i, buf)| Box::pin(file.write_at(buf, i as u64 * 2 * BLOCK))).collect();
    for write in &mut writes {
        // All are under way before any is waited for.
        if let Some(result) = poll_once(&mut *write).await {
            result.expect("writable");
            *write = Box::pin(file.write_at(&bufs[0], 0));
        }
    }
    for write in writes {
        soon(rt, "a write", write).await.expect("writable");
    }
    let (synced, read) = zip(file.sync(), file.read_at(0, WRITES * 2 * BLOCK_BYTES)).await;
    synced.expect("syncable");
    let read = read.expect("readable");
    for (i, buf) in bufs.iter().enumerate() {
        assert!(read[i * 2 * BLOCK_BYTES..][..2 * BLOCK_BYTES] == **buf, "write {i}");
    }
}

/// One write of many megabytes is whole.
pub async fn big_writes<R: Runtime>(rt: &R, place: &Place) {
    const BLOCKS: usize = (12 << 20) / BLOCK_BYTES;
    let path = place.fresh(rt, "big_writes").await.join("file");
    let file = file_of(rt, &path, BLOCKS, 0x77).await;
    assert_eq!(file.len().await.expect("open"), 12 << 20);
    assert!(*file.read_at(0, 12 << 20).await.expect("readable") == *filled(rt, BLOCKS, 0x77));
}

/// What was read can be written elsewhere as it is.
pub async fn read_buffers_can_be_written<R: Runtime>(rt: &R, place: &Place) {
    let dir = place.fresh(rt, "read_buffers_can_be_written").await;
    let from = file_of(rt, &dir.join("from"), 3, 3).await;
    let to = file_of(rt, &dir.join("to"), 1, 4).await;
    let read = from.read_at(BLOCK, 2 * BLOCK_BYTES).await.expect("readable");
    to.write_at(&read, BLOCK).await.expect("writable");
    assert!(*to.read_at(BLOCK, 2 * BLOCK_BYTES).await.expect("readable") == filled(rt, 3, 3)[BLOCK_BYTES..]);
}

/// Allocating grows a file with zeros, keeps what is there and never shrinks.
pub async fn allocating<R: Runtime>(rt: &R, place: &Place) {
    let path = place.fresh(rt, "allocating").await.join("file");
    let file = file_of(rt, &path, 2, 6).await;
    file.allocate(8 * BLOCK).await.expect("there is space");
    assert_eq!(file.len().await.expect("open"), 8 * BLOCK);
    let read = file.read_at(0, 8 * BLOCK_BYTES).await.expect("readable");
    assert!(read[..2 * BLOCK_BYTES] == *filled(rt, 2, 6));
    assert!(read[2 * BLOCK_BYTES..].iter().all(|byte| *byte == 0));
    for smaller in [0, BLOCK, 8 * BLOCK] {
        file.allocate(smaller).await.expect("nothing to do");
        assert_eq!(file.len().await.expect("open"), 8 * BLOCK);
    }
}

/// Truncating cuts, and extends with zeros, also where data was before.
pub async fn truncating<R: Runtime>(rt: &R, place: &Place) {
    let path = place.fresh(rt, "truncating").await.join("file");
    let file = file_of(rt, &path, 4, 7).await;
    file.truncate(BLOCK + 100).await.expect("writable");
    assert_eq!(file.len().await.expect("open"), BLOCK + 100);
    file.truncate(4 * BLOCK).await.expect("writable");
    let read = file.read_at(0, 4 * BLOCK_BYTES).await.expect("readable");
    assert!(read[..BLOCK_BYTES + 100] == filled(rt, 4, 7)[..BLOCK_BYTES + 100]);
    assert!(read[BLOCK_BYTES + 100..].iter().all(|byte| *byte == 0), "old data came back");
    file.truncate(0).await.expect("writable");
    assert!(file.read_at(0, BLOCK_BYTES).await.expect("readable").is_empty());
}

/// After operations were given up, the file works and the rest of it is untouched.
pub async fn dropped_writes_leave_a_usable_file<R: Runtime>(rt: &R, place: &Place) {
    let path = place.fresh(rt, "dropped_writes").await.join("file");
    let file = file_of(rt, &path, 64, 1).await;
    let other = filled(rt, 32, 2);
    for _ in 0..20 {
        let _ = poll_once(file.write_at(&other, 32 * BLOCK)).await;
        let _ = poll_once(file.read_at(0, 64 * BLOCK_BYTES)).await;
        let _ = poll_once(file.sync()).await;
        let _ = poll_once(file.truncate(64 * BLOCK)).await;
        rt.yield_now().await;
    }
    soon(rt, "a sync", file.sync()).await.expect("syncable");
    file.write_at(&other, 32 * BLOCK).await.expect("writable");
    let read = file.read_at(0, 64 * BLOCK_BYTES).await.expect("readable");
    assert!(read[..32 * BLOCK_BYTES] == filled(rt, 32, 1)[..]);
    assert!(read[32 * BLOCK_BYTES..] == other[..]);
}

/// Two handles of one path see the same bytes, and closing one leaves the other.
pub async fn handles_share_one_file<R: Runtime>(rt: &R, place: &Place) {
    let path = place.fresh(rt, "handles_share_one_file").await.join("file");
    let writer = file_of(rt, &path, 1, 1).await;
    let reader = rt.open(&path, Open::Read).await.expect("it exists");
    writer.write_at(&filled(rt, 2, 8), BLOCK).await.expect("writable");
    assert_eq!(reader.len().await.expect("open"), 3 * BLOCK);
    drop(writer);
    rt.yield_now().await;
    assert!(*reader.read_at(BLOCK, 2 * BLOCK_BYTES).await.expect("readable") == *filled(rt, 2, 8));
}
