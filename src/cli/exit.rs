//! Exit codes, and failures on their way to one.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// How a command ended. The numbers are a promise to scripts; [`HELP`] documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// It failed in a way that has no code of its own.
    Failure = 1,
    /// It was asked in the wrong way: arguments, settings, input that is not what it was said to be.
    Usage = 2,
    /// The stream, shard, consumer or directory it was asked about does not exist.
    NotFound = 3,
    /// The node could not be reached or did not answer in time.
    Unavailable = 4,
    /// Data on disk is damaged.
    Damaged = 5,
    /// The node refused for now: disk full, a limit reached.
    Refused = 6,
    /// The connection broke at a moment that leaves open whether the last records were stored.
    Unknown = 7,
}

/// The codes, for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong arguments, settings or input
  3  no such stream, shard, consumer or directory
  4  the node is not reachable or did not answer in time
  5  data on disk is damaged
  6  refused for now: disk full or a limit reached
  7  unknown whether the last records were stored";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what was asked: sentences for people, a code for scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// One line per thing that went wrong.
    pub messages: Vec<String>,
}

impl Failure {
    /// A failure with one message.
    pub fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, messages: vec![message.to_string()] }
    }

    /// Mistakes in arguments or settings.
    pub fn usage<T: Display>(mistakes: impl IntoIterator<Item = T>) -> Self {
        Self { exit: Exit::Usage, messages: mistakes.into_iter().map(|mistake| mistake.to_string()).collect() }
    }

    /// Output could not be written. A reader that has seen enough (`| head`) is no failure: nothing is said, and the
    /// code is that of success.
    #[must_use]
    pub fn from_output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { exit: Exit::Ok, messages: Vec::new() },
            _ => Self::new(Exit::Failure, format_args!("cannot write the output: {error}")),
        }
    }

    /// Writes the messages to `err` and gives the code.
    pub fn report(&self, err: &mut dyn Write) -> Exit {
        for message in &self.messages {
            // Standard error may be closed; the code still tells.
            let _ = writeln!(err, "millstream: {message}");
        }
        self.exit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a closed pipe is quiet success, any other output error is a failure with a message.
    #[test]
    fn closed_pipes_are_quiet() {
        let mut err = Vec::new();
        let closed = Failure::from_output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(closed.report(&mut err), Exit::Ok);
        assert!(err.is_empty());
        let full = Failure::from_output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.report(&mut err), Exit::Failure);
        assert!(err.starts_with(b"millstream: cannot write the output: "));
    }

    /// Goal: the help names every code once, with the number the code has.
    #[test]
    fn help_names_every_code() {
        let all = [
            Exit::Ok,
            Exit::Failure,
            Exit::Usage,
            Exit::NotFound,
            Exit::Unavailable,
            Exit::Damaged,
            Exit::Refused,
            Exit::Unknown,
        ];
        assert_eq!(HELP.lines().count(), 1 + all.len());
        for (exit, line) in all.into_iter().zip(HELP.lines().skip(1)) {
            assert!(line.starts_with(&format!("  {}  ", exit as u8)), "{line}");
        }
    }
}
