//! The file of access keys: TOML, checked to the last letter, for what is misspelt here either locks somebody out or lets
//! somebody in.
//!
//! ```toml
//! [[key]]
//! name = "orders-service"
//! access_key_id = "AKIAEXAMPLE"
//! secret_access_key = "..."
//! allow = [{ actions = ["kinesis:Put*", "DescribeStreamSummary"], streams = ["orders-*"] }]
//! ```
//!
//! A key without `allow` may do everything, one with `allow = []` nothing; without `streams` an entry is for every stream.

use std::path::Path;

use toml::de::{DeArray, DeTable, DeValue};

use crate::config::nearest;
use crate::kinesis::access::{DuplicateId, Key, Keys, Rule, Secret, matches};
use crate::kinesis::model;

/// May stand before the name of an action, as in the policies of AWS.
const SERVICE: &str = "kinesis:";

/// Longest name of a user, as in AWS.
const NAME_CHARS_MAX: usize = 64;

/// Longest id of a key, as in AWS.
const ID_BYTES_MAX: usize = 128;

/// Longest secret. Those of AWS have 40 characters.
const SECRET_BYTES_MAX: usize = 256;

/// The keys in the text of a file, or every mistake in it, each with its line.
pub fn parse(path: &Path, text: &str) -> Result<Keys, Vec<String>> {
    let mut reader = Reader { path, text, mistakes: Vec::new() };
    let keys = reader.document();
    if !reader.mistakes.is_empty() {
        return Err(reader.mistakes);
    }
    Keys::new(keys).map_err(|DuplicateId(id)| {
        vec![format!("{}: two keys have the access_key_id `{id}`; requests name keys by it", path.display())]
    })
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    mistakes: Vec<String>,
}

impl Reader<'_> {
    fn mistake(&mut self, position: usize, problem: impl AsRef<str>) {
        let before = self.text.as_bytes().get(..position).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        self.mistakes.push(format!("{}:{line}: {}", self.path.display(), problem.as_ref()));
    }

    fn document(&mut self) -> Vec<Key> {
        let table = match DeTable::parse(self.text) {
            Ok(table) => table,
            Err(error) => {
                // The message alone: what the parser shows of the text could be a secret.
                self.mistake(error.span().map_or(0, |span| span.start), error.message());
                return Vec::new();
            }
        };
        let table = table.get_ref();
        self.known(table, &["key"]);
        let Some((name, value)) = table.get_key_value("key") else {
            self.mistake(0, "the file has no key; each begins with [[key]]");
            return Vec::new();
        };
        let DeValue::Array(entries) = value.get_ref() else {
            self.mistake(name.span().start, "`key` is one table; write [[key]] with double brackets");
            return Vec::new();
        };
        let entries = entries.iter().filter_map(|entry| match entry.get_ref() {
            DeValue::Table(table) => self.key(entry.span().start, table),
            _ => {
                self.mistake(entry.span().start, "a key is a table; begin each with [[key]]");
                None
            }
        });
        entries.collect()
    }

    /// Complains about every key of the table that is not one of `names`.
    fn known(&mut self, table: &DeTable<'_>, names: &[&str]) {
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if !names.contains(&name) {
                let suggested = nearest(name, names.iter().map(ToString::to_string));
                let hint = suggested.map_or_else(
                    || format!("; known: {}", names.join(", ")),
                    |name| format!("; did you mean `{name}`?"),
                );
                self.mistake(key.span().start, format!("unknown key `{name}`{hint}"));
            }
        }
    }

    fn key(&mut self, at: usize, table: &DeTable<'_>) -> Option<Key> {
        self.known(table, &["name", "access_key_id", "secret_access_key", "session_token", "allow"]);
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        let name = self.checked(at, table, "name", NAME_CHARS_MAX, is_name);
        let is_id = |c: char| c.is_ascii_graphic() && !"/,=&%+".contains(c);
        let id = self.checked(at, table, "access_key_id", ID_BYTES_MAX, is_id);
        let secret = self.checked(at, table, "secret_access_key", SECRET_BYTES_MAX, |c| c.is_ascii_graphic());
        let allow = match table.get("allow").map(|value| (value.span().start, value.get_ref())) {
            None => None,
            Some((_, DeValue::Array(entries))) => Some(self.rules(entries)),
            Some((at, _)) => {
                self.mistake(
                    at,
                    "`allow` is a list; write it like [{ actions = [\"kinesis:Put*\"], streams = [\"a-*\"] }]",
                );
                None
            }
        };
        Some(Key { name: name?, access_key_id: id?, secret: Secret::new(secret?), allow })
    }

    /// A text that must be there, of these characters. The text itself is not repeated: it may be a secret.
    fn checked(
        &mut self,
        at: usize,
        table: &DeTable<'_>,
        name: &str,
        bytes_max: usize,
        is_fine: impl Fn(char) -> bool,
    ) -> Option<String> {
        let Some(value) = table.get(name) else {
            self.mistake(at, format!("the key has no `{name}`"));
            return None;
        };
        let at = value.span().start;
        match value.get_ref() {
            DeValue::String(text) if text.is_empty() || text.len() > bytes_max => {
                self.mistake(at, format!("`{name}` has {} characters; it can have 1 to {bytes_max}", text.len()));
            }
            DeValue::String(text) if !text.chars().all(is_fine) => {
                self.mistake(at, format!("`{name}` holds a character that it cannot have"));
            }
            DeValue::String(text) => return Some(text.to_string()),
            _ => self.mistake(at, format!("`{name}` is not a text; put it in quotes")),
        }
        None
    }

    fn rules(&mut self, entries: &DeArray<'_>) -> Vec<Rule> {
        let rules = entries.iter().filter_map(|entry| {
            let at = entry.span().start;
            let DeValue::Table(table) = entry.get_ref() else {
                self.mistake(at, "an entry of `allow` is a table; write it like { actions = [\"GetRecords\"] }");
                return None;
            };
            self.known(table, &["actions", "streams"]);
            if table.get("actions").is_none() {
                self.mistake(at, "an entry of `allow` names its `actions`");
            }
            let actions = self.patterns(table, "actions");
            for action in &actions {
                let bare = action.strip_prefix(SERVICE).unwrap_or(action);
                let mut names = model::operations().iter().map(|operation| operation.name);
                if !names.any(|name| matches(bare, name)) {
                    let names = model::operations().iter().map(|operation| operation.name.to_owned());
                    let hint = nearest(bare, names).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
                    self.mistake(at, format!("no operation is called `{action}`{hint}"));
                }
            }
            let streams =
                if table.get("streams").is_some() { self.patterns(table, "streams") } else { vec!["*".into()] };
            let actions = actions.iter().map(|action| action.strip_prefix(SERVICE).unwrap_or(action).to_owned());
            Some(Rule { actions: actions.collect(), streams })
        });
        rules.collect()
    }

    fn patterns(&mut self, table: &DeTable<'_>, name: &str) -> Vec<String> {
        let Some(value) = table.get(name) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.mistake(value.span().start, format!("`{name}` is a list of texts; write it like [\"*\"]"));
            return Vec::new();
        };
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "_.-*?".contains(c);
        let patterns = items.iter().filter_map(|item| match item.get_ref() {
            DeValue::String(text) => {
                let bare = text.strip_prefix(SERVICE).filter(|_| name == "actions").unwrap_or(text);
                if bare.is_empty() || !bare.chars().all(is_fine) {
                    self.mistake(item.span().start, format!("`{text}` in `{name}` can match nothing"));
                    return None;
                }
                Some(text.to_string())
            }
            _ => {
                self.mistake(item.span().start, format!("an item of `{name}` is not a text"));
                None
            }
        });
        patterns.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Result<Keys, Vec<String>> {
        parse(Path::new("keys.toml"), text)
    }

    const GOOD: &str = r#"
[[key]]
name = "orders-service"
access_key_id = "AKIAORDERS"
secret_access_key = "s3cret/of+orders"
allow = [{ actions = ["kinesis:Put*", "GetRecords"], streams = ["orders-*"] }, { actions = ["List*"] }]

[[key]]
name = "admin"
access_key_id = "AKIAADMIN"
secret_access_key = "s3cret-of-admin"
session_token = "pasted along"
"#;

    /// Goal: what the file says arrives, with the defaults of what it leaves out, and secrets do not show.
    #[test]
    fn a_file_is_read() {
        let keys = keys(GOOD).unwrap();
        let [orders, admin] = keys.as_slice() else { panic!("{keys:?}") };
        assert_eq!((orders.name.as_str(), orders.access_key_id.as_str()), ("orders-service", "AKIAORDERS"));
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rules = [
            Rule { actions: list(&["Put*", "GetRecords"]), streams: list(&["orders-*"]) },
            Rule { actions: list(&["List*"]), streams: list(&["*"]) },
        ];
        assert_eq!(orders.allow.as_deref(), Some(&rules[..]));
        assert_eq!(admin.allow, None);
        assert!(!format!("{keys:?}").contains("s3cret"));
    }

    /// Goal: every mistake is reported with its line and the way out, all at once, and no message repeats a secret.
    #[test]
    fn mistakes_are_reported_with_their_lines() {
        let complaints = |text: &str| keys(text).unwrap_err();
        let text = "[[key]]\nnam = \"a\"\naccess_key_id = \"a b\"\nsecret_access_key = \"s3cret \"\nallow = \"all\"\n";
        let expected = [
            "keys.toml:2: unknown key `nam`; did you mean `name`?",
            "keys.toml:1: the key has no `name`",
            "keys.toml:3: `access_key_id` holds a character that it cannot have",
            "keys.toml:4: `secret_access_key` holds a character that it cannot have",
            "keys.toml:5: `allow` is a list; write it like [{ actions = [\"kinesis:Put*\"], streams = [\"a-*\"] }]",
        ];
        assert_eq!(complaints(text), expected);
        assert_eq!(complaints(""), ["keys.toml:1: the file has no key; each begins with [[key]]"]);
        assert_eq!(complaints("[key]\n"), ["keys.toml:1: `key` is one table; write [[key]] with double brackets"]);
        assert_eq!(complaints("[[keys]]\n")[0], "keys.toml:1: unknown key `keys`; did you mean `key`?");
        assert!(complaints("[[key]]\nsecret_access_key = \"s3cret\n").iter().all(|text| !text.contains("s3cret")));
        let rules = "[[key]]\nname=\"a\"\naccess_key_id=\"a\"\nsecret_access_key=\"a\"\nallow=[{streams=[\"a b\", 1], action=[]}]";
        assert_eq!(complaints(rules).len(), 4, "{:?}", complaints(rules));
        let rule = "[[key]]\nname=\"a\"\naccess_key_id=\"a\"\nsecret_access_key=\"a\"\nallow=[{actions=[\"kinesis:PutRecrd\", \"Qqq*\"]}]";
        let expected = [
            "keys.toml:5: no operation is called `kinesis:PutRecrd`; did you mean `PutRecord`?",
            "keys.toml:5: no operation is called `Qqq*`",
        ];
        assert_eq!(complaints(rule), expected);
        let twice = GOOD.replace("AKIAADMIN", "AKIAORDERS");
        let duplicate = "keys.toml: two keys have the access_key_id `AKIAORDERS`; requests name keys by it";
        assert_eq!(complaints(&twice), [duplicate]);
    }
}
