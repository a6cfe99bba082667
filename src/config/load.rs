//! From what was written, in several places, to one validated [`Config`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::values::{Reserve, Value};
use super::{Config, OTHER_VARIABLES, SETTINGS, Setting, TlsMode, VARIABLE_PREFIX};

/// What was written, by place. Reading it is the caller's work.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Flags given, as (key of the setting, text).
    pub flags: Vec<(String, String)>,
    /// Environment variables, ours and others, as (name, text).
    pub variables: Vec<(String, String)>,
    /// The file, if there is one: its path and its text.
    pub file: Option<(PathBuf, String)>,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line, by this flag.
    Flag(String),
    /// In the environment, by this variable.
    Variable(String),
    /// In the file, on this line, counted from 1.
    File(PathBuf, usize),
    /// Nowhere: the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One mistake in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// No setting has this name.
    #[error("{origin}: unknown setting `{name}`{}", suggestion(suggested.as_deref()))]
    Unknown {
        /// Where it stands.
        origin: Origin,
        /// What was written.
        name: String,
        /// The nearest name that exists, if one is near.
        suggested: Option<String>,
    },
    /// A setting cannot have this value.
    #[error("{origin}: {key}: `{value}` {problem}")]
    Invalid {
        /// Where it stands.
        origin: Origin,
        /// The setting.
        key: &'static str,
        /// What was written.
        value: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Two settings contradict each other.
    #[error("{} and {}: {problem}", named(first), named(second))]
    Conflict {
        /// One setting and where it stands.
        first: (&'static str, Origin),
        /// The other.
        second: (&'static str, Origin),
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The file is not TOML.
    #[error("{origin}: {problem}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        problem: String,
    },
}

fn suggestion(suggested: Option<&str>) -> String {
    suggested
        .map_or_else(|| "; `millstream serve --help` lists them".to_owned(), |name| format!("; did you mean `{name}`?"))
}

fn named((key, origin): &(&'static str, Origin)) -> String {
    format!("{key} ({origin})")
}

/// A validated configuration and where each value comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where the values were written, in the order of [`SETTINGS`].
    pub origins: Vec<Origin>,
}

impl Loaded {
    /// The effective settings as a TOML file, each with its origin. Loading it gives the same configuration.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let lines: Vec<_> = SETTINGS
            .iter()
            .zip(self.config.show())
            .map(|(setting, value)| format!("{} = {}", setting.key, toml::Value::String(value)))
            .collect();
        let width = lines.iter().map(String::len).max().unwrap_or(0);
        lines.iter().zip(&self.origins).map(|(line, origin)| format!("{line:width$}  # {origin}\n")).collect()
    }
}

impl Config {
    /// Merges the sources and validates the result. All mistakes are reported together.
    pub fn load(sources: &Sources) -> Result<Loaded, Vec<ConfigError>> {
        let mut merge = Merge { written: BTreeMap::new(), errors: Vec::new() };
        // Lowest precedence first: later sources overwrite.
        for setting in SETTINGS {
            merge.written.insert(setting.key, (setting.default.to_owned(), Origin::Default));
        }
        if let Some((path, text)) = &sources.file {
            merge.file(path, text);
        }
        merge.variables(&sources.variables);
        merge.flags(&sources.flags);

        let config = Self::parse(&mut merge);
        if let Some(config) = &config {
            merge.check_reserves(config);
            merge.check_ports(config);
            merge.check_tls(config);
        }
        match config {
            Some(config) if merge.errors.is_empty() => {
                let origins = SETTINGS.iter().map(|setting| merge.origin(setting.key)).collect();
                Ok(Loaded { config, origins })
            }
            _ => Err(merge.errors),
        }
    }
}

/// Gives the text of a setting and takes complaints about it.
pub(super) trait Lookup {
    /// What was written for the setting.
    fn text(&self, key: &'static str) -> &str;
    /// Records that the text does not parse.
    fn complain(&mut self, key: &'static str, problem: String);
}

/// Parses one setting, or complains.
pub(super) fn parse_one<T: Value>(lookup: &mut dyn Lookup, key: &'static str) -> Option<T> {
    match T::parse(lookup.text(key)) {
        Ok(value) => Some(value),
        Err(problem) => {
            lookup.complain(key, problem);
            None
        }
    }
}

struct Merge {
    /// Every setting's text and where it was written.
    written: BTreeMap<&'static str, (String, Origin)>,
    errors: Vec<ConfigError>,
}

impl Lookup for Merge {
    fn text(&self, key: &'static str) -> &str {
        &self.written[key].0
    }

    fn complain(&mut self, key: &'static str, problem: String) {
        let (value, origin) = self.written[key].clone();
        self.errors.push(ConfigError::Invalid { origin, key, value, problem });
    }
}

impl Merge {
    fn origin(&self, key: &str) -> Origin {
        self.written[key].1.clone()
    }

    fn set(&mut self, setting: &Setting, text: String, origin: Origin) {
        self.written.insert(setting.key, (text, origin));
    }

    fn file(&mut self, path: &std::path::Path, text: &str) {
        let at = |position: usize| {
            let before = text.as_bytes().get(..position).unwrap_or(text.as_bytes());
            Origin::File(path.to_owned(), 1 + before.iter().filter(|byte| **byte == b'\n').count())
        };
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let origin = at(error.span().map_or(0, |span| span.start));
                self.errors.push(ConfigError::Syntax { origin, problem: error.message().to_owned() });
                return;
            }
        };
        for (key, value) in table.get_ref() {
            let (name, origin) = (key.get_ref().as_ref(), at(key.span().start));
            let Some(setting) = SETTINGS.iter().find(|setting| setting.key == name) else {
                let suggested = nearest(name, SETTINGS.iter().map(|setting| setting.key.to_owned()));
                self.errors.push(ConfigError::Unknown { origin, name: name.to_owned(), suggested });
                continue;
            };
            match scalar(value.get_ref()) {
                Some(text) => self.set(setting, text, origin),
                None => self.errors.push(ConfigError::Invalid {
                    origin,
                    key: setting.key,
                    value: value.get_ref().type_str().to_owned(),
                    problem: "is not a text, a number or a list of these".to_owned(),
                }),
            }
        }
    }

    fn variables(&mut self, variables: &[(String, String)]) {
        for (name, text) in variables.iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)) {
            let origin = Origin::Variable(name.clone());
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == *name) {
                self.set(setting, text.clone(), origin);
            } else if !OTHER_VARIABLES.contains(&name.as_str()) {
                let known =
                    SETTINGS.iter().map(Setting::variable).chain(OTHER_VARIABLES.iter().map(ToString::to_string));
                let suggested = nearest(name, known);
                self.errors.push(ConfigError::Unknown { origin, name: name.clone(), suggested });
            }
        }
    }

    fn flags(&mut self, flags: &[(String, String)]) {
        for (key, text) in flags {
            let setting = SETTINGS.iter().find(|setting| setting.key == key);
            // The flags are made from the table; the parser of the command line refuses others.
            let setting = setting.unwrap_or_else(|| panic!("flag for `{key}`, which is no setting"));
            self.set(setting, text.clone(), Origin::Flag(setting.flag()));
        }
    }

    /// Warn above slow above refuse, in the same unit: whether 5% is more than 50 GiB depends on the disk.
    fn check_reserves(&mut self, config: &Config) {
        let ladder =
            [("disk_warn", config.disk_warn), ("disk_slow", config.disk_slow), ("disk_refuse", config.disk_refuse)];
        for pair in ladder.windows(2) {
            let [(high_key, high), (low_key, low)] = [pair[0], pair[1]];
            let problem = match (high, low) {
                (Reserve::Percent(high), Reserve::Percent(low)) if high >= low => continue,
                (Reserve::Bytes(high), Reserve::Bytes(low)) if high >= low => continue,
                (Reserve::Percent(_), Reserve::Bytes(_)) | (Reserve::Bytes(_), Reserve::Percent(_)) => {
                    "give both as a share or both as a size".to_owned()
                }
                _ => format!("{high_key} must not be below {low_key}"),
            };
            let (first, second) = ((high_key, self.origin(high_key)), (low_key, self.origin(low_key)));
            self.errors.push(ConfigError::Conflict { first, second, problem });
        }
    }

    /// Both ports are shared by all workers, and the system would share one port between the two protocols as readily.
    fn check_ports(&mut self, config: &Config) {
        let (listen, Some(kinesis)) = (config.listen, config.kinesis_listen) else { return };
        let is_one_address =
            listen.ip() == kinesis.ip() || listen.ip().is_unspecified() || kinesis.ip().is_unspecified();
        if listen.port() == kinesis.port() && listen.port() != 0 && is_one_address {
            let (first, second) =
                (("listen", self.origin("listen")), ("kinesis_listen", self.origin("kinesis_listen")));
            let problem = "two protocols cannot have one port; choose another for one of them".to_owned();
            self.errors.push(ConfigError::Conflict { first, second, problem });
        }
    }

    /// A certificate comes with its key, and both only where HTTPS is spoken.
    fn check_tls(&mut self, config: &Config) {
        let (mode, certificate, key) = ("kinesis_tls", "kinesis_tls_certificate", "kinesis_tls_key");
        let is_off = config.kinesis_tls == TlsMode::Off;
        let (first, second, problem) =
            match (config.kinesis_tls_certificate.is_some(), config.kinesis_tls_key.is_some()) {
                (false, false) => return,
                (true, true) if !is_off => return,
                (true, true) => (mode, certificate, "with `off` no certificate is shown; leave one of them out"),
                (true, false) | (false, true) => {
                    (certificate, key, "they belong together; give both, or none to have them made")
                }
            };
        let (first, second) = ((first, self.origin(first)), (second, self.origin(second)));
        self.errors.push(ConfigError::Conflict { first, second, problem: problem.to_owned() });
    }
}

/// The text of a TOML value as a flag would have it; lists are joined by commas.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string()),
        DeValue::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| scalar(item.get_ref())).collect();
            Some(items?.join(","))
        }
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// The candidate most like `name`, if it is alike enough to be what was meant. 0.8 lets one or two wrong letters pass.
pub fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    // Dashes are the commonest slip: the flags have them, the keys do not.
    let name = name.replace('-', "_");
    // What all candidates begin with says nothing about likeness.
    let bare = |name: &str| name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name).to_owned();
    candidates
        .map(|candidate| (strsim::jaro_winkler(&bare(&name), &bare(&candidate)), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
