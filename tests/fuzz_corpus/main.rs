//! The bodies of the fuzz targets over the committed corpus, without cargo-fuzz: what fuzzing once found stays fixed. The seeds
//! among it are real encodings; `MILLSTREAM_BLESS=1` writes them.
#![cfg(all(feature = "config", feature = "kinesis", feature = "sim"))]
#![allow(clippy::disallowed_methods, reason = "reads and writes the corpus; runs in no node")]

#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

mod seeds;

use std::fs;
use std::path::{Path, PathBuf};

use targets::TARGETS;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

/// Goal: every input of the corpus, and every input cut short, passes its target.
#[test]
fn the_corpus_passes() {
    let mut inputs = 0;
    for (name, body) in TARGETS {
        let files = fs::read_dir(corpus().join(name)).unwrap_or_else(|error| panic!("no corpus for {name}: {error}"));
        for file in files {
            let path = file.expect("a readable directory").path();
            let data = fs::read(&path).expect("a readable file");
            println!("{}", path.display());
            body(&data);
            body(&data[..data.len() / 2]);
            inputs += 1;
        }
    }
    assert!(inputs >= TARGETS.len(), "only {inputs} inputs");
}

/// Goal: every target has seeds, and those committed are what the code writes today.
#[test]
fn seeds_are_real_encodings() {
    for (name, seeds) in seeds::all() {
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "no target {name}");
        for (n, seed) in seeds.iter().enumerate() {
            let path = corpus().join(name).join(format!("seed-{n:02}"));
            if std::env::var_os("MILLSTREAM_BLESS").is_some() {
                fs::create_dir_all(path.parent().expect("it has one")).expect("a writable tree");
                fs::write(&path, seed).expect("a writable tree");
            }
            let there = fs::read(&path).unwrap_or_default();
            assert!(there == *seed, "{} is stale: MILLSTREAM_BLESS=1 writes it", path.display());
        }
    }
}

/// Goal: a target for each directory of the corpus, a program for each target.
#[test]
fn targets_are_complete() {
    for entry in fs::read_dir(corpus()).expect("there is a corpus") {
        let name = entry.expect("a readable directory").file_name().into_string().expect("names are UTF-8");
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "nothing fuzzes {name}");
    }
    for (name, _) in TARGETS {
        let program = format!("fuzz/fuzz_targets/{name}.rs");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&program).exists(), "no {program}");
    }
}
