//! Nodes and commands as processes: started, waited for with a deadline, and ended whatever becomes of the test.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::disallowed_types, reason = "output is read on threads; nothing here runs in a node")]

pub mod load;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_millstream");

/// Nothing that a test waits for takes longer, not even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The number that an environment variable gives, or else this one.
pub fn number_from(variable: &str, otherwise: u32) -> u32 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

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
    said: Arc<Mutex<Vec<u8>>>,
    err: Option<JoinHandle<()>>,
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
        let said = Arc::new(Mutex::new(Vec::new()));
        let saying = Arc::clone(&said);
        let err = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(len @ 1..) = from.read(&mut piece) {
                saying.lock().expect("nobody panics with it").extend_from_slice(&piece[..len]);
            }
        });
        (Self { child, lines, seen: Vec::new(), said, err: Some(err) }, to)
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
            Err(RecvTimeoutError::Timeout) => {
                panic!("no line in {PATIENCE:?}; it said:\n{}\nits threads:\n{}", self.said(), self.threads())
            }
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

    /// What it has said on standard error until now.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("nobody panics with it")).into_owned()
    }

    /// Waits until standard error has all of `texts` in one line.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) {
        let begun = Instant::now();
        while !self.said().lines().any(|line| texts.iter().all(|text| line.contains(text))) {
            assert!(begun.elapsed() < PATIENCE, "no line with {texts:?} in {PATIENCE:?}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where its threads are, as far as the kernel tells.
    fn threads(&self) -> String {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.child.id())) else { return String::new() };
        let tell = |path: PathBuf| {
            let part = |name| std::fs::read_to_string(path.join(name)).unwrap_or_default();
            format!("{} in {}, system call {}{}", part("comm").trim(), part("wchan"), part("syscall"), part("stack"))
        };
        threads.flatten().map(|thread| tell(thread.path())).collect()
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn err_text(&mut self) -> String {
        if let Some(thread) = self.err.take() {
            thread.join().expect("reads only");
        }
        self.said()
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

/// The command that runs `shell` with `command` as `"$@"`.
pub fn through(shell: &str, command: &Command) -> Command {
    let mut outer = Command::new("sh");
    outer.args(["-c", shell, "sh"]).arg(command.get_program()).args(command.get_args());
    outer
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
        Self::ready(data, serve(data, listen, more))
    }

    /// Starts a node on `data` with a command of the caller's, and waits until it is ready.
    #[track_caller]
    pub fn ready(data: &Path, command: Command) -> Self {
        let mut process = Process::start(command, b"");
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
