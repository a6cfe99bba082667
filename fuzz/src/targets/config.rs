//! Settings from everywhere: what is accepted and written as a file is accepted as the same again; mistakes are all told.
//!
//! The input is lines of variables (`NAME=text`) and flags (`--key text`), an empty line, then the file. The command line knows
//! its flags: only those that are settings get this far.

use millstream::config::{Config, SETTINGS, Sources};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (head, file) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut sources = Sources { file: Some(("fuzz.toml".into(), file.to_owned())), ..Sources::default() };
    for line in head.lines() {
        if let Some((name, value)) = line.strip_prefix("--").and_then(|flag| flag.split_once(' ')) {
            if SETTINGS.iter().any(|setting| setting.key == name) {
                sources.flags.push((name.to_owned(), value.to_owned()));
            }
        } else if let Some((name, value)) = line.split_once('=') {
            sources.variables.push((name.to_owned(), value.to_owned()));
        }
    }
    match Config::load(&sources) {
        Ok(loaded) => {
            let shown = loaded.config.show();
            let _ = loaded.config.warnings();
            let file = Some(("again.toml".into(), loaded.to_toml()));
            let again = Config::load(&Sources { file, ..Sources::default() });
            let again = again.unwrap_or_else(|errors| panic!("settings that were accepted are not: {errors:?}"));
            assert_eq!(again.config.show(), shown);
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| drop(error.to_string()));
        }
    }
}
