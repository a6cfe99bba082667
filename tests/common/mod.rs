//! Nodes and commands as processes: started, waited for with a deadline, and ended whatever becomes of the test.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::disallowed_types, reason = "output is read on threads; nothing here runs in a node")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_millstream");

/// Nothing that a test waits for takes longer, not even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of the test's own, on the disk that the code is on: one with direct I/O.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("node-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made")
}

/// The binary with these arguments, and none of the settings of whoever runs the tests.
pub fn millstream<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"MILLSTREAM_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

/// A free port that no outgoing connection takes while its node is down: below those the kernel gives to these.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 499).expect("below 499") * 24;
    for _ in 0..1_000 {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// What a process left behind.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Asserts that it ended with `code`, and without a panic.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert!(!self.err.contains("panicked at"), "{}", self.err);
        assert_eq!(self.status.code(), Some(code), "standard output:\n{}standard error:\n{}", self.out, self.err);
        self
    }

    /// Asserts that standard error says all of `texts`.
    #[track_caller]
    pub fn complains(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.err.contains(text), "{text:?} is not in {:?}", self.err);
        }
        self
    }

    /// The lines of standard output, as JSON.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

/// A running process whose output is read as it comes. It is killed when this is dropped.
pub struct Process {
    child: Child,
    lines: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    err: Option<JoinHandle<Vec<u8>>>,
}

impl Process {
    /// Starts `command` with `input` on standard input.
    pub fn start(command: Command, input: &[u8]) -> Self {
        let (process, mut to) = Self::start_fed(command);
        let input = input.to_vec();
        std::thread::spawn(move || {
            // A process that reads no input closes it, and then there is nobody to tell.
            let _ = to.write_all(&input);
        });
        process
    }

    /// Starts `command` and gives its standard input, to be written to and closed.
    pub fn start_fed(mut command: Command) -> (Self, ChildStdin) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (to, out) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut from = child.stderr.take().expect("piped");
        let (sender, lines) = sync_channel(1 << 16);
        std::thread::spawn(move || {
            let mut out = BufReader::new(out);
            loop {
                let mut line = Vec::new();
                if out.read_until(b'\n', &mut line).unwrap_or(0) == 0 || sender.send(line).is_err() {
                    break;
                }
            }
        });
        let err = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = from.read_to_end(&mut text);
            text
        });
        (Self { child, lines, seen: Vec::new(), err: Some(err) }, to)
    }

    /// The next line of standard output; `None` at its end.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen.extend_from_slice(&line);
                Some(String::from_utf8_lossy(&line).into_owned())
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line in {PATIENCE:?}"),
        }
    }

    /// The next line of standard output, if there is one yet.
    pub fn line_now(&mut self) -> Option<String> {
        let line = self.lines.try_recv().ok()?;
        self.seen.extend_from_slice(&line);
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// The line of standard output that contains `text`, past all before it.
    #[track_caller]
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            match self.line() {
                Some(line) if line.contains(text) => return line,
                Some(_) => {}
                None => panic!("ended without {text:?}:\n{}", self.err_text()),
            }
        }
    }

    /// Sends a signal, by its name.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(status.success(), "{kill}");
    }

    /// Ends it without a warning.
    pub fn kill(mut self) -> Ended {
        self.child.kill().expect("it is a child of this process");
        self.wait()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(mut self) -> Ended {
        while self.line().is_some() {}
        let err = self.err_text();
        let status = self.child.wait().expect("it is a child of this process");
        Ended { status, out: String::from_utf8_lossy(&self.seen).into_owned(), err }
    }

    fn err_text(&mut self) -> String {
        let err = self.err.take().map(|thread| thread.join().expect("reads only"));
        String::from_utf8_lossy(&err.unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Does nothing if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command with `input` to its end.
#[track_caller]
pub fn run_with<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, input: &[u8]) -> Ended {
    Process::start(millstream(args), input).wait()
}

/// Runs a command to its end.
#[track_caller]
pub fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ended {
    run_with(args, b"")
}

/// The command that serves `data` on `listen`.
pub fn serve(data: &Path, listen: &str, more: &[&str]) -> Command {
    // Tests run side by side: none takes the default port of the Kinesis API.
    let mut command = millstream(["serve", "--listen", listen]);
    if !more.contains(&"--kinesis-listen") {
        command.args(["--kinesis-listen", "none"]);
    }
    command.arg("--data").arg(data).args(more);
    command
}

/// A node that is ready. It is killed when this is dropped.
pub struct Node {
    pub process: Process,
    pub data: PathBuf,
    pub addr: SocketAddr,
    /// What it said up to what it recovered.
    pub report: String,
}

impl Node {
    /// Starts a node on `data` and waits until it is ready.
    #[track_caller]
    pub fn start(data: &Path, listen: &str, more: &[&str]) -> Self {
        let mut process = Process::start(serve(data, listen, more), b"");
        process.line_with("is ready after");
        process.line_with("  recovered ");
        let report = String::from_utf8_lossy(&process.seen).into_owned();
        let addr = report.lines().find_map(|line| line.trim().strip_prefix("listen")).expect("a line with the address");
        let addr = addr.split_whitespace().next().and_then(|addr| addr.parse().ok()).expect("an address");
        Self { process, data: data.to_owned(), addr, report }
    }

    /// One worker, on a port of its own.
    #[track_caller]
    pub fn small(data: &Path, more: &[&str]) -> Self {
        let mut args = vec!["--workers", "1"];
        args.extend(more);
        Self::start(data, &format!("127.0.0.1:{}", free_port()), &args)
    }

    /// Runs a command against this node.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, b"")
    }

    /// Runs a command against this node, with `input`.
    #[track_caller]
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Ended {
        Process::start(self.command(args), input).wait()
    }

    /// A command against this node.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = millstream(args);
        command.args(["--node", &self.addr.to_string()]);
        command
    }

    /// Ends it with a signal; it must end well and say so.
    #[track_caller]
    pub fn stop(self, signal: &str) -> Ended {
        self.process.signal(signal);
        let ended = self.process.wait().code(0);
        assert!(ended.out.ends_with("stopped cleanly\n"), "{ended:?}");
        ended
    }

    /// Ends it without a warning.
    pub fn kill(self) -> Ended {
        self.process.kill()
    }
}
