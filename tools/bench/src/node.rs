//! A node that the run starts itself: the binary as a child process, on a port and a directory of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// A node that is not ready by then will not be.
const READY_MAX: Duration = Duration::from_secs(120);

/// A node that was asked to stop may take this long.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Lines of its log that are kept, for when it fails.
const LOG_LINES: usize = 20;

/// Ports that nodes are given.
const PORT_FIRST: u16 = 20_000;
const PORTS: u16 = 12_000;

/// How to start a node.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// The binary. Without one: `MILLSTREAM_BIN`, then `millstream` beside this program.
    pub binary: Option<PathBuf>,
    /// Its data directory; without one a new directory in the current one, removed in the end.
    pub data: Option<PathBuf>,
    /// Arguments behind those this module gives.
    pub args: Vec<String>,
}

/// A running node. Killed when dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    addr: SocketAddr,
    binary: PathBuf,
    data: PathBuf,
    args: Vec<String>,
    log: Arc<Mutex<VecDeque<String>>>,
    /// Removed with this.
    _own: Option<TempDir>,
}

/// The binary to start.
fn binary(options: &NodeOptions) -> Result<PathBuf> {
    if let Some(binary) = &options.binary {
        return Ok(binary.clone());
    }
    if let Some(binary) = std::env::var_os("MILLSTREAM_BIN") {
        return Ok(binary.into());
    }
    let own = std::env::current_exe().context("this program's own path")?;
    // Tests lie one directory further down.
    let found = own.ancestors().skip(1).take(2).map(|dir| dir.join("millstream")).find(|path| path.is_file());
    found.with_context(|| {
        format!("no `millstream` beside {}; build it, or give --start-node a path or MILLSTREAM_BIN", own.display())
    })
}

/// A port below those that the kernel gives to outgoing connections: nobody takes it while the node is down. Never the same
/// twice in one process: nodes share ports if they can, and two would answer for each other.
fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(16);
    for _ in 0..PORTS {
        let at = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORT_FIRST + (at % u32::from(PORTS)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port from {PORT_FIRST} on")
}

impl Node {
    /// Starts a node and waits until it is ready.
    pub fn start(options: &NodeOptions) -> Result<Self> {
        let binary = binary(options)?;
        let (own, data) = match &options.data {
            Some(data) => (None, data.clone()),
            None => {
                let own = tempfile::Builder::new().prefix("bench-node-").tempdir_in(".")?;
                let data = own.path().join("data");
                (Some(own), data)
            }
        };
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = Arc::default();
        let child = spawn(&binary, &data, addr, &options.args, &log)?;
        Ok(Self { child, addr, binary, data, args: options.args.clone(), log, _own: own })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &std::path::Path {
        &self.data
    }

    /// SIGKILL. When this returns the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("the node cannot be killed")?;
        self.child.wait().context("the node cannot be waited for")?;
        Ok(())
    }

    /// Starts it again with the same arguments, on the same data and port, and waits until it is ready.
    pub fn restart(&mut self) -> Result<()> {
        self.child = spawn(&self.binary, &self.data, self.addr, &self.args, &self.log)?;
        Ok(())
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .context("the node cannot be asked to stop")?;
        let deadline = Instant::now() + STOP_MAX;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the node ended with {status}:\n{}", tail(&self.log)),
                None if Instant::now() > deadline => bail!("the node did not stop in {STOP_MAX:?}"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Does nothing if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    binary: &PathBuf,
    data: &std::path::Path,
    addr: SocketAddr,
    args: &[String],
    log: &Arc<Mutex<VecDeque<String>>>,
) -> Result<Child> {
    let mut command = Command::new(binary);
    command.args(["serve", "--listen", &addr.to_string(), "--kinesis-listen", "none", "--data"]).arg(data).args(args);
    // The node refuses settings it does not know, and this one is the tool's.
    command.env_remove("MILLSTREAM_BIN");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C is for the tool: the node must outlive it until the result is there.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().with_context(|| format!("{} cannot be started", binary.display()))?;
    let ready = read(child.stdout.take().expect("piped"), log);
    drop(read(child.stderr.take().expect("piped"), log));
    match wait_ready(&ready) {
        Ok(()) => Ok(child),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error.context(tail(log)))
        }
    }
}

fn wait_ready(ready: &Receiver<()>) -> Result<()> {
    match ready.recv_timeout(READY_MAX) {
        Ok(()) => Ok(()),
        Err(RecvTimeoutError::Timeout) => bail!("the node was not ready in {READY_MAX:?}"),
        Err(RecvTimeoutError::Disconnected) => bail!("the node ended before it was ready"),
    }
}

/// Reads what it says, so that it is never held up, and tells when it says that it is ready.
fn read(from: impl Read + Send + 'static, log: &Arc<Mutex<VecDeque<String>>>) -> Receiver<()> {
    let (tell, told) = sync_channel(1);
    let log = Arc::clone(log);
    let read = move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if line.contains(" is ready after ") {
                // Told once per start; nobody listens to the other output.
                let _ = tell.try_send(());
            }
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.len() == LOG_LINES {
                log.pop_front();
            }
            log.push_back(line);
        }
    };
    // It ends with the node's end of the pipe.
    drop(std::thread::spawn(read));
    told
}

fn tail(log: &Mutex<VecDeque<String>>) -> String {
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    format!("the node said last:\n{}", log.iter().map(|line| format!("  {line}\n")).collect::<String>())
}
