use super::*;
use crate::runtime::glommio::launch::{LaunchError, run_unpinned};
use crate::runtime::glommio::tests::{one_at_a_time, scratch};
use std::process::Command;

/// Goal: this machine, which runs the other tests, passes.
#[test]
fn a_good_machine_passes() {
    let _guard = one_at_a_time();
    check_io_uring().expect("the other tests need it");
    check_memlock(8).expect("eight workers fit the default limit");
    let cpus = online_cpus().expect("listed");
    assert!(!cpus.is_empty());
    check_cpus(&cpus).expect("all of them");
    let scratch = scratch();
    check_directory(scratch.path()).expect("the other tests need it");
    assert_eq!(fs::read_dir(scratch.path()).expect("it exists").count(), 0, "the probe was left behind");
}

/// Goal: a list of CPUs is refused for the right reason.
#[test]
fn bad_cpus_are_named() {
    let cpus = online_cpus().expect("listed");
    assert!(matches!(check_cpus(&[cpus[0], 4_096]), Err(PreflightError::NoSuchCpu { cpu: 4_096, .. })));
    assert!(matches!(check_cpus(&[cpus[0], cpus[0]]), Err(PreflightError::CpuTwice { cpu }) if cpu == cpus[0]));
    assert_eq!(parse_cpus("0-2,5,7-8"), Some(vec![0, 1, 2, 5, 7, 8]));
    assert_eq!(parse_cpus("none"), None);
}

/// Goal: a directory is refused for the right reason.
#[test]
fn bad_directories_are_named() {
    let scratch = scratch();
    let file = scratch.path().join("file");
    fs::write(&file, b"").expect("writable");
    assert!(matches!(check_directory(&file), Err(PreflightError::NotADirectory { .. })));
    assert!(matches!(check_directory(&scratch.path().join("missing")), Err(PreflightError::NotWritable { .. })));
    // A file system where nobody, not even root, can make files.
    assert!(matches!(check_directory(Path::new("/proc/self")), Err(PreflightError::NotWritable { .. })));
}

/// Goal: what the kernel answers to `io_uring_setup` becomes words that name the cause.
#[test]
fn kernel_answers_become_words() {
    let of = |code| setup_error(io::Error::from_raw_os_error(code));
    assert!(matches!(of(libc::ENOSYS), PreflightError::IoUringUnavailable { .. }));
    assert!(matches!(of(libc::EPERM), PreflightError::IoUringForbidden | PreflightError::IoUringDisabled { .. }));
    assert!(matches!(of(libc::ENOMEM), PreflightError::MemlockTooLow { .. }));
    assert!(matches!(of(libc::EMFILE), PreflightError::IoUring { .. }));
    let text = PreflightError::MemlockTooLow { limit_bytes: 64 << 10, need_bytes: 512 << 10, workers: 2 }.to_string();
    assert!(text.contains("64 KiB, 2 workers need at least 512 KiB"), "{text}");
    assert!(rings_are_charged("5.10.0-28-amd64"));
    assert!(!rings_are_charged("5.12-rc1"));
    assert!(!rings_are_charged("6.1.0-18-amd64"));
}

/// Goal: under a low memlock limit nothing starts, and the error says what to do. In a process of its own, because the
/// limit is the process's.
#[test]
fn low_memlock_is_a_clean_error() {
    const INSIDE: &str = "MILLSTREAM_TEST_LOW_MEMLOCK";
    if std::env::var_os(INSIDE).is_some() {
        let outcome = run_unpinned(|_| async {});
        assert!(
            matches!(outcome, Err(LaunchError::Preflight(PreflightError::MemlockTooLow { limit_bytes: 65_536, .. }))),
            "{outcome:?}"
        );
        return;
    }
    let program = std::env::current_exe().expect("it runs");
    let output = Command::new("sh")
        .args(["-c", "ulimit -l 64 && exec \"$0\" \"$@\""])
        .arg(program)
        .args(["--exact", "runtime::glommio::preflight::tests::low_memlock_is_a_clean_error"])
        .env(INSIDE, "1")
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Goal: huge pages are off for the whole process afterwards, as the kernel tells.
#[test]
fn huge_pages_are_refused() {
    refuse_huge_pages().expect("Linux knows it");
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    // Kernels before 5.0 do not tell.
    let said = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
    assert!(said.is_none_or(|enabled| enabled.trim() == "0"), "{said:?}");
}

/// Goal: the memory there is, as the kernel writes it, and where the limits of control groups are found.
#[test]
fn memory_is_what_machine_and_groups_allow() {
    assert_eq!(parse_mem_total("MemTotal:       24683520 kB\nMemFree: 1 kB\n"), Some(24_683_520 << 10));
    assert_eq!(parse_mem_total("MemFree: 1 kB\n"), None);
    let paths = |groups| group_limits(groups).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    assert_eq!(
        paths("0::/system.slice/node.service\n"),
        [
            "/sys/fs/cgroup/system.slice/node.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max"
        ]
    );
    assert_eq!(
        paths("4:cpu,cpuacct:/a\n3:memory:/a\n1:name=systemd:/\nnonsense\n"),
        ["/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
    );
    // No figure of this machine, but one there is.
    assert!(memory_limit().is_some_and(|bytes| bytes > 64 << 20));
}
