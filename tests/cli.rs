//! The binary as scripts see it: what it prints where, and the code it ends with.

#![allow(clippy::disallowed_methods, reason = "starts the binary; runs in no node")]
#![cfg(feature = "cli")]

use std::process::{Command, Output, Stdio};

fn millstream(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millstream")).args(args).output().expect("the binary starts")
}

/// Goal: asking for help or the version succeeds on standard output; a wrong command ends with 2, on standard error.
#[test]
fn help_succeeds_and_wrong_usage_is_2() {
    for flag in ["--help", "--version"] {
        let output = millstream(&[flag]);
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("millstream"));
    }
    let output = millstream(&["complete"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("completions"), "no suggestion");
}

/// Goal: a reader that goes away is no error and no panic.
#[test]
fn a_closed_pipe_is_quiet() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.args(["completions", "bash"]).stdout(writer).stderr(Stdio::piped());
    let output = command.spawn().and_then(|child| child.wait_with_output()).expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
