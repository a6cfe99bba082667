//! What a disk keeps and what it loses, and its faults.

use std::io::ErrorKind;

use super::*;

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Goal: what was synced survives every power failure byte for byte. What was written and not synced is, over the seeds,
/// lost, kept and torn at sectors.
#[test]
fn synced_data_survives_and_unsynced_may_not() {
    const SEEDS: u64 = 100;
    let (mut lost, mut kept, mut torn) = (0, 0, 0);
    for seed in 0..SEEDS {
        let (sim, host) = one_host(seed);
        let rt = sim.runtime(host);
        sim.block_on(async {
            let file = create(&rt, "f").await;
            file.write_at(&filled(&rt, 4, 1), 0).await.expect("no faults");
            file.sync().await.expect("no faults");
            file.write_at(&filled(&rt, 1, 2), BLOCK).await.expect("no faults");
            assert_eq!(file.read_at(BLOCK, BLOCK_BYTES).await.expect("no faults")[0], 2, "visible at once");
        });
        sim.power_loss(host);
        let after = sim.read_file(host, "/d/f").expect("its name was synced");
        assert_eq!(after.len(), 4 * BLOCK_BYTES);
        for block in [0, 2, 3] {
            assert!(after[block * BLOCK_BYTES..][..BLOCK_BYTES].iter().all(|&byte| byte == 1), "seed {seed}");
        }
        let sectors: Vec<u8> = after[BLOCK_BYTES..2 * BLOCK_BYTES]
            .chunks(512)
            .map(|sector| {
                assert!(sector.iter().all(|&byte| byte == sector[0]), "a sector is never torn");
                sector[0]
            })
            .collect();
        match sectors.iter().filter(|&&byte| byte == 2).count() {
            0 => lost += 1,
            8 => kept += 1,
            _ => torn += 1,
        }
        let stats = sim.disk_stats(host);
        assert_eq!(stats.writes_lost + stats.writes_kept + stats.writes_torn, 1);
    }
    for count in [lost, kept, torn] {
        assert!(count > SEEDS / 10, "lost {lost}, kept {kept}, torn {torn}");
    }
}

/// Goal: a sync does not cover a write that was in flight when it began.
#[test]
fn sync_covers_only_what_had_completed() {
    let mut lost = 0;
    for seed in 0..60 {
        let (sim, host) = one_host(seed);
        let rt = sim.runtime(host);
        sim.block_on(async {
            let file = create(&rt, "f").await;
            file.write_at(&filled(&rt, 2, 1), 0).await.expect("no faults");
            let late = filled(&rt, 1, 2);
            let both = futures_lite::future::zip(file.write_at(&late, 0), file.sync()).await;
            both.0.and(both.1).expect("no faults");
        });
        sim.power_loss(host);
        let after = sim.read_file(host, "/d/f").expect("its name was synced");
        assert_eq!(after.len(), 2 * BLOCK_BYTES);
        assert_eq!(after[BLOCK_BYTES], 1);
        lost += u32::from(after[..BLOCK_BYTES].contains(&1));
    }
    assert!(lost > 10, "lost or torn {lost} times");
}

/// Goal: lengths, too, are durable with a sync and not before; bytes beyond the durable length are gone.
#[test]
fn lengths_are_durable_with_a_sync() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let (sim, host) = one_host(seed);
        let rt = sim.runtime(host);
        sim.block_on(async {
            let file = create(&rt, "f").await;
            file.allocate(4 * BLOCK).await.expect("no faults");
            file.sync().await.expect("no faults");
            file.truncate(2 * BLOCK).await.expect("no faults");
            file.write_at(&filled(&rt, 1, 1), 7 * BLOCK).await.expect("no faults");
        });
        sim.power_loss(host);
        seen.insert(sim.read_file(host, "/d/f").expect("its name was synced").len() as u64 / BLOCK);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [2, 4, 8], "a prefix of the changes of length");
}

/// Goal: names are durable after a sync of their directory. Unsynced changes are lost from the last one backwards, and
/// a rename within a directory is never half done.
#[test]
fn names_are_durable_in_order() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let (sim, host) = one_host(seed);
        let rt = sim.runtime(host);
        sim.block_on(async {
            drop(create(&rt, "a").await);
            rt.rename(Path::new("/d/a"), Path::new("/d/b")).await.expect("no faults");
            drop(rt.open(Path::new("/d/c"), Open::CreateNew).await.expect("no faults"));
            rt.remove(Path::new("/d/b")).await.expect("no faults");
            assert_eq!(rt.list(Path::new("/d")).await.expect("no faults"), ["c"]);
        });
        sim.power_loss(host);
        seen.insert(sim.files(host).into_iter().map(|(path, _)| path).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["/d/a", "/d/b", "/d/b /d/c", "/d/c"]);
}

/// Goal: a new directory with all in it is gone if its own name was not synced, and a rename across directories needs
/// the sync of both.
#[test]
fn directories_need_their_own_sync() {
    let (mut gone, mut there) = (0, 0);
    let mut moved = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let (sim, host) = one_host(seed);
        sim.write_file(host, "/e/f", b"contents").expect("an empty disk");
        let rt = sim.runtime(host);
        sim.block_on(async {
            rt.create_dir(Path::new("/d/sub")).await.expect("no faults");
            drop(rt.open(Path::new("/d/sub/x"), Open::CreateNew).await.expect("no faults"));
            rt.sync_dir(Path::new("/d/sub")).await.expect("no faults");
            rt.rename(Path::new("/e/f"), Path::new("/g")).await.expect("no faults");
        });
        sim.power_loss(host);
        let files: Vec<String> = sim.files(host).into_iter().map(|(path, _)| path).collect();
        match files.contains(&"/d/sub/x".to_owned()) {
            true => there += 1,
            false => gone += 1,
        }
        moved.insert((files.contains(&"/e/f".to_owned()), files.contains(&"/g".to_owned())));
    }
    assert!(gone > 5, "gone {gone} times");
    assert!(there > 5, "there {there} times");
    assert_eq!(moved.len(), 4, "under either name, both or none: {moved:?}");
}

/// Goal: each fault fails as it should: EIO, a full disk, what O_DIRECT refuses, and a failed sync loses data for good.
#[test]
fn faults_hit_what_they_are_aimed_at() {
    let aim = |op, fault| Injection { op, path_contains: "f".to_owned(), skip: 1, times: 1, fault };
    let mut lost_for_good = 0;
    for seed in 0..40 {
        let (sim, host) = one_host(seed);
        sim.set_disk(host, DiskOptions { capacity_bytes: 8 * BLOCK, ..DiskOptions::default() });
        let rt = sim.runtime(host);
        sim.block_on(async {
            let file = create(&rt, "f").await;
            let (block, other) = (filled(&rt, 1, 1), filled(&rt, 1, 2));
            assert_eq!(kind(file.write_at(&block, 512).await), Some(ErrorKind::InvalidInput));
            assert_eq!(kind(file.read_at(0, 100).await), Some(ErrorKind::InvalidInput));

            for (op, fault) in [(DiskOp::Read, Fault::Eio), (DiskOp::Write, Fault::Eio), (DiskOp::Sync, Fault::Eio)] {
                sim.inject(host, aim(op, fault));
            }
            file.write_at(&block, 0).await.expect("the first passes");
            assert_eq!(file.write_at(&block, BLOCK).await.expect_err("aimed at").raw_os_error(), Some(5));
            file.write_at(&block, BLOCK).await.expect("the third passes");
            file.read_at(0, BLOCK_BYTES).await.expect("the first passes");
            assert_eq!(file.read_at(0, BLOCK_BYTES).await.expect_err("aimed at").raw_os_error(), Some(5));
            file.sync().await.expect("the first passes");

            file.write_at(&other, 0).await.expect("no fault");
            assert!(file.sync().await.is_err());
            file.sync().await.expect("only once");
            assert!(*file.read_at(0, BLOCK_BYTES).await.expect("no fault") == *other, "still readable");

            assert_eq!(rt.disk_space(Path::new("/d")).await.expect("no fault").free_bytes, 6 * BLOCK);
            assert_eq!(kind(file.allocate(9 * BLOCK).await), Some(ErrorKind::StorageFull));
            file.allocate(8 * BLOCK).await.expect("it fits");
            file.write_at(&block, 7 * BLOCK).await.expect("reserved");
            assert_eq!(kind(file.write_at(&block, 8 * BLOCK).await), Some(ErrorKind::StorageFull));
            rt.remove(Path::new("/d/f")).await.expect("no fault");
            assert_eq!(rt.disk_space(Path::new("/d")).await.expect("no fault").free_bytes, 0, "it is still open");
            drop(file);
            assert_eq!(rt.disk_space(Path::new("/d")).await.expect("no fault").free_bytes, 8 * BLOCK);
        });
        sim.power_loss(host);
        if let Ok(after) = sim.read_file(host, "/d/f") {
            lost_for_good += u32::from(after[0] == 1);
        }
        assert_eq!(sim.disk_stats(host).faults, 3);
    }
    assert!(lost_for_good > 2, "synced again after the error, yet lost: {lost_for_good} times");
}

/// Goal: a hung operation ends when it is released; a flipped bit shows, and stays over a power failure; a misdirected
/// write reports success and is not where it should be.
#[test]
fn odd_disks() {
    let (sim, host) = one_host(3);
    sim.write_file(host, "/d/f", &[0; 4 * BLOCK_BYTES]).expect("an empty disk");
    let rt = sim.runtime(host);
    let aim = |op, fault| Injection { op, path_contains: String::new(), skip: 0, times: 1, fault };
    sim.inject(host, aim(DiskOp::Sync, Fault::Hang));
    sim.inject(host, aim(DiskOp::Write, Fault::Misdirect));
    let synced = Rc::new(RefCell::new(false));
    let flag = Rc::clone(&synced);
    sim.spawn(host, async move {
        let file = rt.open(Path::new("/d/f"), Open::Write).await.expect("it exists");
        file.write_at(&filled(&rt, 1, 9), 0).await.expect("as far as one can see");
        file.sync().await.expect("in the end");
        flag.replace(true);
    });
    assert!(!sim.run_until(|| *synced.borrow(), Duration::from_secs(60)));
    sim.release_hung(host);
    assert!(sim.run_until(|| *synced.borrow(), Duration::from_secs(60)));
    let blocks: Vec<u8> = sim.read_file(host, "/d/f").expect("it exists").chunks(BLOCK_BYTES).map(|b| b[0]).collect();
    assert_eq!(blocks.iter().filter(|&&byte| byte == 9).count(), 1, "{blocks:?}");
    sim.flip_bit(host, "/d/f", 100, 3).expect("it exists");
    sim.power_loss(host);
    assert_eq!(sim.read_file(host, "/d/f").expect("it exists")[100], blocks[0] ^ 8);
}
