//! Starting and stopping a node, as an operator sees it: what it says, where, and the code it ends with. Whatever is
//! wrong with the machine or the settings ends with a message and no panic.

#![allow(clippy::disallowed_methods, reason = "starts the binary; runs in no node")]
#![cfg(feature = "cli")]

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use common::{BINARY, Ended, Node, Process, free_port, millstream, run, scratch, serve};
use millstream::format::node::DATA_VERSION;
use millstream::format::{names, sealed};

/// Tries to serve `data`, which must end by itself.
fn refused(data: &Path, more: &[&str]) -> Ended {
    Process::start(serve(data, "127.0.0.1:0", more), b"").wait()
}

/// The command that runs `shell` with the binary and its arguments as `"$@"`.
fn through(shell: &str, data: &Path) -> Command {
    common::through(shell, &serve(data, "127.0.0.1:0", &["--workers", "1"]))
}

/// Goal: the node says where it listens and what it found; both signals end it well; a restart finds what was there.
#[test]
fn starts_reports_and_stops() {
    let dir = scratch();
    let data = dir.path().join("data");
    let node = Node::small(&data, &[]);
    for text in ["term 1, data directory new", "  direct    127.0.0.1:", "on CPU ", "0 streams, 0 shards, 0 records"] {
        assert!(node.report.contains(text), "{text:?} is not in {}", node.report);
    }
    node.run(&["stream", "create", "orders", "--shards", "3"]).code(0);
    node.run_with(&["put", "orders", "--quiet"], b"a\nb\n").code(0);
    node.stop("TERM");
    let node = Node::small(&data, &[]);
    assert!(node.report.contains("term 2, data directory found"), "{}", node.report);
    assert!(node.report.contains("1 streams, 3 shards, 2 records"), "{}", node.report);
    node.stop("INT");
}

/// Goal: a data directory belongs to one node at a time.
#[test]
fn a_second_node_on_the_same_data_is_refused() {
    let dir = scratch();
    let node = Node::small(dir.path(), &[]);
    refused(dir.path(), &["--workers", "1"]).code(1).complains(&["in use by another node", "LOCK"]);
    run(["log", "verify", dir.path().to_str().unwrap()]).code(4).complains(&["in use by a running node"]);
    node.run(&["stream", "list"]).code(0);
    node.stop("TERM");
}

/// Goal: a port that another program or another node has is refused, not shared; the node that has it goes on.
#[test]
fn a_taken_port_is_refused() {
    let (dir, other) = (scratch(), scratch());
    let program = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = Node::small(other.path(), &[]);
    for addr in [program.local_addr().unwrap(), node.addr] {
        let ended = Process::start(serve(dir.path(), &addr.to_string(), &["--workers", "1"]), b"").wait();
        ended.code(1).complains(&["cannot listen on", &addr.to_string(), "--listen"]);
    }
    node.stop("TERM");
}

/// Goal: data of a newer version is refused, and left as it is.
#[test]
fn newer_data_is_refused() {
    let dir = scratch();
    let newer = sealed::seal(u32::from_le_bytes(*b"MSNF"), DATA_VERSION + 1, b"who knows");
    let path = names::node_file(dir.path());
    fs::write(&path, &newer).unwrap();
    let format = format!("has format {}", DATA_VERSION + 1);
    refused(dir.path(), &["--workers", "1"]).code(1).complains(&[&format, "start the newer version"]);
    assert_eq!(fs::read(&path).unwrap(), newer);
}

/// Goal: CPUs that are not there, and more workers than CPUs, are wrong settings.
#[test]
fn cpus_that_do_not_exist_are_refused() {
    let dir = scratch();
    refused(dir.path(), &["--cpus", "4000"]).code(2).complains(&["CPU 4000 does not exist", "may run on"]);
    refused(dir.path(), &["--workers", "1024"]).code(2).complains(&["1024 workers need as many CPUs"]);
}

/// Goal: directories that cannot be written, are no directories or have no parent are told apart.
#[test]
fn unusable_directories_are_refused() {
    let dir = scratch();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    refused(&file, &["--workers", "1"]).code(1).complains(&["file is not a directory"]);
    let lost = dir.path().join("no/such/parent");
    refused(&lost, &["--workers", "1"]).code(1).complains(&["cannot create the data directory", "no/such/parent"]);

    // Root may write everywhere, so it becomes somebody else, who needs a copy of the binary where everybody may look.
    let public = tempfile::Builder::new().prefix("millstream-").tempdir().unwrap();
    let (binary, data) = (public.path().join("millstream"), public.path().join("data"));
    fs::copy(BINARY, &binary).unwrap();
    fs::create_dir(&data).unwrap();
    for (path, mode) in [(public.path(), 0o755), (binary.as_path(), 0o755), (data.as_path(), 0o555)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(&binary);
    command.args(serve(&data, "127.0.0.1:0", &["--workers", "1"]).get_args()).current_dir(public.path());
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    Process::start(command, b"").wait().code(1).complains(&["cannot write to", "ermission denied"]);
}

/// Goal: too little memory that may be locked is said, with the way out.
#[test]
fn a_low_memlock_limit_is_refused() {
    let dir = scratch();
    let ended = Process::start(through("ulimit -l 64 && exec \"$@\"", dir.path()), b"").wait();
    ended.code(1).complains(&["locked memory (memlock) is 64 KiB", "ulimit -l"]);
}

/// A seccomp filter that answers io_uring_setup with EPERM, as container engines do, and then the binary.
const SECCOMP: &str = r"
import ctypes, os, platform, struct, sys
assert platform.machine() in ('x86_64', 'aarch64'), 'io_uring_setup has another number here'
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
code = b''.join(struct.pack('HBBI', *line) for line in code)
memory = ctypes.create_string_buffer(code)
program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', 4, ctypes.addressof(memory)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, 'PR_SET_NO_NEW_PRIVS'
assert libc.prctl(22, 2, program, 0, 0) == 0, 'PR_SET_SECCOMP'
os.execv(sys.argv[1], sys.argv[1:])
";

/// Goal: a sandbox that forbids io_uring is named as the reason.
#[test]
fn forbidden_io_uring_is_refused() {
    let dir = scratch();
    let inner = serve(dir.path(), "127.0.0.1:0", &["--workers", "1"]);
    let mut command = Command::new("python3");
    command.args(["-c", SECCOMP]).arg(inner.get_program()).args(inner.get_args());
    Process::start(command, b"").wait().code(1).complains(&["io_uring is forbidden", "seccomp"]);
}

/// Goal: a file system without direct I/O is named as the reason. ramfs is one; it is mounted where only the node sees it.
#[test]
fn a_file_system_without_direct_io_is_refused() {
    let dir = scratch();
    let mount = "mount -t ramfs none \"$DIR\" && ";
    let mut unshare = Command::new("unshare");
    unshare.args(["-Urm", "sh", "-c", &format!("{mount} true")]).env("DIR", dir.path());
    if !Process::start(unshare, b"").wait().status.success() {
        let probe = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(libc::O_DIRECT)
            .open(dir.path().join("probe"));
        eprintln!(
            "NOT TESTED: this machine lets nobody mount a file system without O_DIRECT (own directory: {:?}); \
             only the message was checked",
            probe.map(|_| "has it")
        );
        let error = millstream::runtime::glommio::preflight::PreflightError::NoDirectIo { path: dir.path().to_owned() };
        assert!(error.to_string().contains("O_DIRECT"));
        return;
    }
    let inner = through(&format!("{mount} exec \"$@\""), dir.path());
    let mut command = Command::new("unshare");
    command.arg("-Urm").arg(inner.get_program()).args(inner.get_args()).env("DIR", dir.path());
    Process::start(command, b"").wait().code(1).complains(&["without direct I/O (O_DIRECT)", "ext4 or XFS"]);
}

/// Goal: the node says what memory it may use and takes what it is told; what is too little to work with is refused with the amount
/// that would do.
#[test]
fn memory_is_said_and_bounded() {
    let dir = scratch();
    let node = Node::small(&dir.path().join("data"), &["--memory", "320MiB"]);
    let line = "  memory    at most 320MiB for each worker under full load, 40MiB of it for the newest frames";
    assert!(node.report.contains(line), "{}", node.report);
    node.stop("TERM");
    let little = refused(dir.path(), &["--workers", "1", "--memory", "100MiB"]);
    little.code(2).complains(&["memory = 100MiB is too little for 1 worker:", "256MiB is needed"]);
    let tail = refused(dir.path(), &["--workers", "1", "--memory", "1GiB", "--tail-cache", "1GiB"]);
    tail.code(2).complains(&["with this tail_cache and answers_max", "1248MiB is needed"]);
}

/// Goal: names that do not exist are refused wherever they are written, with the right one.
#[test]
fn unknown_settings_are_refused_with_a_suggestion() {
    let dir = scratch();
    refused(dir.path(), &["--worker", "1"]).code(2).complains(&["--worker", "--workers"]);
    let mut command = serve(dir.path(), "127.0.0.1:0", &[]);
    command.env("MILLSTREAM_LISTN", "127.0.0.1:1");
    Process::start(command, b"").wait().code(2).complains(&["`MILLSTREAM_LISTN`", "did you mean `MILLSTREAM_LISTEN`"]);
    let file = dir.path().join("node.toml");
    fs::write(&file, "# settings\ntail_cash = \"1MiB\"\n").unwrap();
    let file = file.to_str().unwrap();
    refused(dir.path(), &["--config", file]).code(2).complains(&["node.toml:2", "did you mean `tail_cache`"]);
    refused(dir.path(), &["--config", "no.toml"]).code(2).complains(&["cannot read no.toml"]);
    refused(dir.path(), &["--auth-token-file", "no.token"]).code(2).complains(&["no.token"]);
    refused(dir.path(), &["--spin-us", "fast"]).code(2).complains(&["--spin-us", "microseconds"]);
}

/// Goal: a flag wins over a variable, a variable over the file, and the node says which it took.
#[test]
fn settings_have_an_order() {
    let dir = scratch();
    let file = dir.path().join("node.toml");
    fs::write(&file, "spin_us = 1\nlog_level = \"warn\"\ntail_cache = \"1MiB\"\n").unwrap();
    let mut command = millstream(["serve", "--print-config", "--spin-us", "3", "--config"]);
    command.arg(&file).env("MILLSTREAM_SPIN_US", "2").env("MILLSTREAM_LOG_LEVEL", "debug");
    let out = Process::start(command, b"").wait().code(0).out;
    let value = |key: &str| {
        let line = out.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("no {key} in {out}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(value("spin_us"), "spin_us = \"3\" # --spin-us");
    assert_eq!(value("log_level"), "log_level = \"debug\" # MILLSTREAM_LOG_LEVEL");
    assert!(value("tail_cache").starts_with("tail_cache = \"1MiB\" #"), "{out}");
    assert!(value("tail_cache").ends_with("node.toml:3"), "{out}");
    assert!(value("workers").ends_with("# default"), "{out}");
}

/// Goal: with a token the node talks to those who have it, and the token is never shown.
#[test]
fn tokens_are_asked_for() {
    let dir = scratch();
    let file = |name: &str, token: &str| {
        let path = dir.path().join(name);
        fs::write(&path, token).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("right", "a-secret-of-the-node\n"), file("wrong", "another-secret-of-mine\n"));
    let node = Node::start(
        &dir.path().join("data"),
        &format!("127.0.0.1:{}", free_port()),
        &["--workers", "1", "--auth-token-file", &right],
    );
    node.run(&["stream", "list", "--auth-token-file", &right]).code(0);
    for args in [&["stream", "list", "--auth-token-file", &wrong][..], &["stream", "list"]] {
        let ended = node.run(args);
        assert_ne!(ended.status.code(), Some(0), "{ended:?}");
        assert!(ended.err.contains("token"), "{ended:?}");
        assert!(!ended.err.contains("secret"), "{ended:?}");
    }
    let ended = node.stop("TERM");
    assert!(!ended.err.contains("secret") && !ended.out.contains("secret"), "{ended:?}");
}

/// Goal: the node says on which port the Kinesis API is, whether it speaks HTTPS, and whether it looks at signatures; what is
/// wrong with the files it needs for that is said before it starts.
#[test]
fn the_kinesis_api_is_reported() {
    let dir = scratch();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let kinesis = ["--workers", "1", "--kinesis-listen", "127.0.0.1:0"];
    let listen = || format!("127.0.0.1:{}", free_port());
    let said = |node: &Node| {
        node.report.lines().find_map(|line| line.trim().strip_prefix("kinesis")).unwrap().trim().to_owned()
    };

    let node = Node::start(&dir.path().join("data"), &listen(), &kinesis);
    let line = said(&node);
    assert!(line.starts_with("127.0.0.1:"), "{line}");
    assert!(line.ends_with("(Kinesis API, HTTP and HTTPS; signatures: accepted unverified)"), "{line}");
    node.stop("TERM");

    fs::write(
        path("keys.toml"),
        "[[key]]\nname = \"a\"\naccess_key_id = \"AKIDA\"\nsecret_access_key = \"s3cret-of-a\"\n",
    )
    .unwrap();
    fs::set_permissions(path("keys.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let keys = path("keys.toml");
    let more = [&kinesis[..], &["--kinesis-keys-file", &keys, "--kinesis-tls", "off"]].concat();
    let node = Node::start(&dir.path().join("data"), &listen(), &more);
    assert!(said(&node).ends_with("(Kinesis API, HTTP; signatures: verified for 1 key)"), "{}", node.report);
    let ended = node.stop("TERM");
    assert!(ended.err.contains("keys.toml can be read by every user of this machine"), "{ended:?}");
    assert!(!ended.err.contains("s3cret") && !ended.out.contains("s3cret"), "{ended:?}");

    fs::write(path("keys.toml"), "[[key]]\nnam = \"a\"\n").unwrap();
    let more = [&kinesis[..], &["--kinesis-keys-file", &keys]].concat();
    refused(&dir.path().join("data"), &more)
        .code(2)
        .complains(&["keys.toml:2: unknown key `nam`; did you mean `name`?"]);
    let (certificate, key) = (path("data/tls/server.pem"), path("data/tls/ca.key"));
    let more = [&kinesis[..], &["--kinesis-tls-certificate", &certificate, "--kinesis-tls-key", &key]].concat();
    refused(&dir.path().join("data"), &more).code(2).complains(&["kinesis_tls_key", "does not belong to"]);
}

/// Goal: a taken port of the Kinesis API is an error that names the flag to change, also when the native port is free.
#[test]
fn a_taken_kinesis_port_is_refused() {
    let dir = scratch();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let ended = refused(&dir.path().join("data"), &["--workers", "1", "--kinesis-listen", &addr]);
    ended.code(1).complains(&["cannot listen on", "--kinesis-listen"]);
}

/// Goal: how to trust the node's CA is told once there is one, with its real path, for people and for programs.
#[test]
fn trust_is_explained() {
    let dir = scratch();
    let data = dir.path().join("data");
    let trust = |more: &[&str]| {
        let mut command = millstream(["tls", "trust", "--data"]);
        command.arg(&data).args(more);
        Process::start(command, b"").wait()
    };
    trust(&[]).code(3).complains(&["no CA at", "kinesis_tls = auto"]);
    let node = Node::start(
        &data,
        &format!("127.0.0.1:{}", free_port()),
        &["--workers", "1", "--kinesis-listen", "127.0.0.1:0"],
    );
    let ca = fs::canonicalize(data.join("tls/ca.pem")).unwrap();
    let out = trust(&[]).code(0).out;
    for variable in ["AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"] {
        let line = format!("export {variable}={}\n", ca.display());
        assert!(out.contains(&line), "{line} is not in {out}");
    }
    assert_eq!(trust(&["--json"]).code(0).json()[0]["ca"], ca.to_str().unwrap());
    node.stop("TERM");
}
