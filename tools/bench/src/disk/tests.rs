use clap::Parser;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: DiskArgs,
}

fn args(dir: &Path, more: &[&str]) -> DiskArgs {
    let dir = dir.to_str().unwrap();
    Command::parse_from(["disk", dir].iter().chain(more)).args
}

/// A directory beside the test program: `/tmp` may be a tmpfs, which may not do direct I/O.
fn scratch() -> tempfile::TempDir {
    let program = std::env::current_exe().unwrap();
    tempfile::tempdir_in(program.parent().unwrap()).unwrap()
}

const SHORT: [&str; 6] = ["--seconds", "0.05", "--segment", "1MiB", "--sizes", "4KiB,64KiB"];

/// Goal: with both engines every row is measured, its figures agree with each other, and nothing is left behind.
#[test]
fn measures_and_cleans_up() {
    for engine in ["plain", "uring"] {
        let dir = scratch();
        let report = run(&args(dir.path(), &[&SHORT[..], &["--engine", engine]].concat())).unwrap();
        assert_eq!(report.rows.len(), 2 * 2 * 2);
        for row in &report.rows {
            assert!(row.commits > 0 && row.commit.max_ns > 0, "{row:?}");
            let bytes_per_commit = row.bytes_per_second / row.commits_per_second;
            assert!((bytes_per_commit / row.pattern.commit_bytes() as f64 - 1.0).abs() < 1e-9, "{row:?}");
            assert_eq!((row.commit.count, row.sync.count), (row.commits, row.commits));
            assert!(row.sync.max_ns <= row.commit.max_ns, "{row:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

/// Goal: the JSON holds what was returned, and the printed table has a row and a fio command for each pattern.
#[test]
fn json_and_table() {
    let dir = scratch();
    let json = dir.path().join("disk.json");
    let more = ["--engine", "plain", "--writes-per-sync", "1", "--json", json.to_str().unwrap()];
    let report = run(&args(dir.path(), &[&SHORT[..], &more].concat())).unwrap();
    let read: DiskReport = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(read, report);
    let text = report.render();
    assert_eq!(text.matches("\nfio --name=log").count(), 4);
    assert_eq!(text.matches(" unwritten  ").count(), 2);
}

/// Goal: the fio command says the same pattern: size, writes per sync, direct, and whether the blocks were written.
#[test]
fn the_fio_command() {
    let plan = |more: &[&str]| Plan::new(&args(Path::new("/data"), more));
    let one = Pattern { write_bytes: 4096, writes_per_sync: 1, blocks: Blocks::Unwritten };
    assert_eq!(
        fio(one, &plan(&["--engine", "plain"])),
        "fio --name=log --directory=/data --unlink=1 --rw=write --direct=1 --ioengine=psync --iodepth=1 --bs=4096 \
         --size=268435456 --fallocate=native --fdatasync=1"
    );
    let four = Pattern { write_bytes: 1 << 20, writes_per_sync: 4, blocks: Blocks::Written };
    assert_eq!(
        fio(four, &plan(&["--seconds", "2", "--segment", "64MiB"])),
        "fio --name=log --directory=/data --unlink=1 --rw=write --direct=1 --ioengine=io_uring --iodepth=4 \
         --iodepth_batch_submit=4 --bs=1048576 --size=67108864 --fallocate=none --overwrite=1 --fdatasync=4 \
         --time_based --runtime=2"
    );
}

/// Goal: what cannot be measured is refused before anything is written, with the reason.
#[test]
fn refusals() {
    let dir = scratch();
    let error = run(&args(dir.path(), &["--segment", "1MiB"])).unwrap_err();
    assert!(matches!(error, DiskError::Segment { segment: 1_048_576, commit: 4_194_304 }), "{error}");
    let error = run(&args(dir.path(), &["--segment", "100000GiB"])).unwrap_err();
    assert!(matches!(error, DiskError::Space { .. }), "{error}");
    let error = run(&args(&dir.path().join("absent"), &[])).unwrap_err();
    assert!(matches!(error, DiskError::Io { .. }), "{error}");
    for wrong in [["--sizes", "1000"], ["--sizes", "0"], ["--writes-per-sync", "0"], ["--seconds", "-1"]] {
        assert!(Command::try_parse_from(["disk", "/data"].iter().chain(&wrong)).is_err(), "{wrong:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
