//! The ratchet: what a machine can hold about the shape of the code. Each rule is a function from text to complaints,
//! and each has a test that it can fail. `scan` turns Rust source into code without comments and texts.

#![allow(clippy::disallowed_methods, reason = "reads the source tree; runs in no node")]

mod rules;
mod scan;

use std::path::{Path, PathBuf};

/// A source file: its path from the root of the project, and its text.
struct Source {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `dir` whose name ends with one of `endings`, without what builds and runs leave behind.
fn files(dir: &Path, endings: &[&str], found: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.expect("a readable directory").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "data", ".git"].contains(&name.as_str()) {
                files(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            let text = std::fs::read_to_string(&path).expect("source files are UTF-8");
            let path = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
            found.push(Source { path, text });
        }
    }
}

fn rust(dirs: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for dir in dirs {
        files(&root().join(dir), &[".rs"], &mut found);
    }
    assert!(!found.is_empty(), "no sources in {dirs:?}");
    found
}

/// Applies a rule to every file and reports all complaints at once.
fn hold(sources: &[Source], rule: impl Fn(&Source) -> Vec<String>) {
    let complaints: Vec<_> = sources.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Goal: arrows between modules run downwards only.
#[test]
fn modules_keep_to_the_allowed_arrows() {
    hold(&rust(&["src"]), |source| rules::arrows(&source.path, &source.text));
}

/// Goal: clocks, files, sockets and the shell's crates are named in the shell only.
#[test]
fn the_fence_holds() {
    hold(&rust(&["src"]), |source| rules::fence(&source.path, &source.text));
}

/// Goal: modules that decide cannot hold unsafe code.
#[test]
fn decisions_forbid_unsafe_code() {
    hold(&rust(&["src"]), |source| rules::forbids_unsafe(&source.path, &source.text));
}

/// Goal: a file fits a sitting.
#[test]
fn files_are_short() {
    hold(&rust(&["src", "examples", "benches", "tools"]), |source| rules::length(&source.path, &source.text));
}

/// Goal: every test says what it is for.
#[test]
fn tests_open_with_their_goal() {
    hold(&rust(&["src", "tests", "examples", "benches", "tools"]), |source| rules::goals(&source.path, &source.text));
}

/// Goal: nothing half-done is left behind.
#[test]
fn nothing_is_left_over() {
    hold(&rust(&["src", "tests", "examples", "benches", "tools"]), |source| {
        rules::leftovers(&source.path, &source.text)
    });
}

/// Goal: the project works wherever it is checked out.
#[test]
fn no_paths_of_one_machine() {
    let mut found = Vec::new();
    files(&root(), &[".rs", ".md", ".toml", ".sh", ".py", "justfile", "run"], &mut found);
    hold(&found, |source| rules::machine_paths(&source.path, &source.text));
}
