//! Just enough of a Rust scanner: comments, texts and characters blanked out, paths and tests found in what is left.

/// The code of `text` with comments and the insides of literals replaced by spaces, line breaks kept.
pub fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` if none begins there.
fn skip(chars: &[char], at: usize) -> usize {
    let starts = |at: usize, text: &str| text.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let inside_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if starts(at, "//") => (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len()),
        '/' if starts(at, "/*") => {
            let (mut depth, mut i) = (0, at);
            while i < chars.len() {
                if starts(i, "/*") {
                    depth += 1;
                    i += 2;
                } else if starts(i, "*/") {
                    depth -= 1;
                    i += 2;
                    if depth == 0 {
                        return i;
                    }
                } else {
                    i += 1;
                }
            }
            chars.len()
        }
        '"' => end_of_text(chars, at + 1, '"'),
        // A raw text: r"..", r#".."#, br#".."#. The b before it stays as a word of one letter, which harms nobody.
        'r' if !inside_word || chars[at - 1] == 'b' => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if chars.get(at + 1 + hashes) != Some(&'"') {
                return at;
            }
            let close: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let from = at + 2 + hashes;
            (from..chars.len()).find(|i| starts(*i, &close)).map_or(chars.len(), |i| i + close.len())
        }
        // A character, not a lifetime: 'x' or '\...'.
        '\'' if chars.get(at + 1) == Some(&'\\') => end_of_text(chars, at + 1, '\''),
        '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn end_of_text(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// Splits code at the inline test module, which by our habit comes last: what is built, what is tests.
pub fn split_tests(code: &str) -> (&str, &str) {
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let at = from + found;
        let after = code[at + "#[cfg(test)]".len()..].trim_start();
        if after.starts_with("mod ") && after.find('{').is_some_and(|open| !after[..open].contains(';')) {
            return code.split_at(at);
        }
        from = at + 1;
    }
    (code, "")
}

/// The first two segments of every path in `code` that begins with `start` (`crate` or the crate's name): groups are
/// opened, so that `use crate::{a, b::c}` gives `a` and `b::c`.
pub fn paths(code: &str, start: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let prefix = format!("{start}::");
    for (at, _) in code.match_indices(&prefix) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') && before != Some('$') {
            continue;
        }
        let line = 1 + code[..at].matches('\n').count();
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.trim_start().strip_prefix('{') {
            found.extend(members(group).into_iter().map(|member| (line, two(member))));
        } else {
            found.push((line, two(rest)));
        }
    }
    found
}

/// The members of a group that begins after its opening brace.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(&group[from..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.into_iter().map(str::trim).filter(|member| !member.is_empty()).collect()
}

/// The first two segments of a path.
fn two(path: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = |text: &str| text.chars().take_while(|c| is_word(*c)).collect::<String>();
    let first = word(path.trim_start());
    let second = path.trim_start()[first.len()..].strip_prefix("::").map(word).unwrap_or_default();
    if second.is_empty() { first } else { format!("{first}::{second}") }
}

/// Goal: comments, texts and characters vanish, code and line numbers stay, lifetimes are no characters.
#[test]
fn code_is_what_is_left() {
    let text = "a // x\n/* y /* z */\n */ b \"c\\\" d\" r#\"e \" f\"# 'g' '\\'' <'h> br\"i\" var";
    let left: Vec<_> = code(text).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(left, ["a", "", "b <'h> b var"]);
}

/// Goal: single paths, groups and nested groups are all seen; paths of other crates are not.
#[test]
fn paths_are_found() {
    let text =
        "use crate::a::B;\nuse crate::{c, d::{E, F},\n g::h::i};\nlet x = crate::j(); other_crate::k; super::crate_::l";
    let found: Vec<_> = paths(text, "crate").into_iter().map(|(line, path)| format!("{line} {path}")).collect();
    assert_eq!(found, ["1 a::B", "2 c", "2 d", "2 g::h", "4 j"]);
}

/// Goal: an inline test module is told apart, a declared one and a test-only function are not taken for it.
#[test]
fn test_modules_are_split_off() {
    assert_eq!(split_tests("a #[cfg(test)]\nmod tests { b }").0, "a ");
    assert_eq!(split_tests("a #[cfg(test)]\nmod tests;").1, "");
    assert_eq!(split_tests("#[cfg(test)] fn f() {} #[cfg(test)] mod tests { b }").1, "#[cfg(test)] mod tests { b }");
}
