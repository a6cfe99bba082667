//! The rules. Each takes a file's path and text and gives its complaints.

use crate::scan;

/// What each module may use. Bottom-up; a module not listed has no rights.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("limits", &[]),
    ("codec", &["types", "limits"]),
    ("format", &["types", "limits", "codec"]),
    ("runtime", &["types", "limits"]),
    ("log", &["types", "limits", "codec", "format"]),
    ("shard", &["types", "limits", "codec", "format"]),
    ("catalog", &["types", "limits", "codec"]),
    ("protocol", &["types", "limits", "codec", "format"]),
    // Both translate to the typed operations of the server; they never meet.
    ("kinesis", &["types", "limits", "codec", "format", "shard"]),
    ("sim", &["types", "limits", "runtime"]),
    ("engine", &["types", "limits", "codec", "format", "runtime", "log", "shard", "catalog"]),
    (
        "server",
        &["types", "limits", "codec", "format", "runtime", "log", "shard", "catalog", "protocol", "kinesis", "engine"],
    ),
    ("client", &["types", "limits", "codec", "format", "runtime", "protocol"]),
    // Whole nodes and clients run in the simulator; the simulator itself knows neither.
    (
        "sim::workload",
        &[
            "types", "limits", "codec", "format", "runtime", "log", "shard", "catalog", "protocol", "kinesis", "sim",
            "engine", "server", "client",
        ],
    ),
    ("config", &["types", "limits"]),
    (
        "cli",
        &[
            "types", "limits", "codec", "format", "runtime", "log", "shard", "catalog", "protocol", "kinesis",
            "engine", "server", "client", "config",
        ],
    ),
    // The binary does nothing itself.
    ("main", &["cli"]),
];

/// What tests may use beyond their module's arrows: the simulator, what runs on it, and the shard's decisions, with which
/// the client's fake node remembers producers as a real one does.
const ARROWS_OF_TESTS: &[&str] = &["sim", "runtime", "shard"];

/// Modules of decisions: pure, so unsafe code has no business there.
const DECISIONS: &[&str] =
    &["types", "limits", "codec", "format", "log", "shard", "catalog", "protocol", "kinesis", "config"];

/// What only the shell may name, with the files that may too.
const FENCED: &[(&str, &[&str])] = &[
    ("glommio", &[]),
    ("libc", &[]),
    ("memmap2", &[]),
    ("tokio", &[]),
    ("signal_hook", &["src/cli/"]),
    ("std::fs", &["src/cli/"]),
    ("std::net::Tcp", &[]),
    ("std::net::Udp", &[]),
    // The simulator asks whether a panic is under way when it drops its tasks.
    ("std::thread", &["src/sim/executor.rs"]),
    ("Instant::now", &["src/cli/"]),
    ("SystemTime", &["src/cli/"]),
    ("RandomState", &[]),
    ("thread_rng", &[]),
];

/// Longest file of `src`, in lines. Only ever lowered.
const LINES_MAX: usize = 700;

/// The module of a file: the first directory or file below `src`.
fn module(path: &str) -> &str {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    if inner.starts_with("sim/workload") {
        return "sim::workload";
    }
    let first = inner.split('/').next().unwrap_or(inner);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn is_test_file(path: &str) -> bool {
    let parts = ["/tests.rs", "/testing.rs"];
    path.starts_with("tests/")
        || parts.iter().any(|part| path.ends_with(part))
        || path.contains("/tests/")
        || path.contains("/testing/")
}

pub fn arrows(path: &str, text: &str) -> Vec<String> {
    let from = module(path);
    if from == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
        return vec![format!("{path}: the module `{from}` is not in the list of allowed arrows")];
    };
    let code = scan::code(text);
    let (built, tests) = if is_test_file(path) { ("", code.as_str()) } else { scan::split_tests(&code) };
    let lines_built = built.matches('\n').count();
    let start = if from == "main" { "millstream" } else { "crate" };
    let in_built = scan::paths(built, start).into_iter().map(|(line, target)| (line, target, false));
    let in_tests = scan::paths(tests, start).into_iter().map(|(line, target)| (lines_built + line, target, true));
    let mut complaints = Vec::new();
    for (line, target, is_test) in in_built.chain(in_tests) {
        let to = if target == "sim::workload" { "sim::workload" } else { target.split("::").next().unwrap_or("") };
        let is_allowed = to == from || allowed.contains(&to) || (is_test && ARROWS_OF_TESTS.contains(&to));
        if !is_allowed {
            complaints.push(format!("{path}:{line}: `{from}` must not use `{to}`"));
        }
    }
    complaints
}

pub fn fence(path: &str, text: &str) -> Vec<String> {
    if path.starts_with("src/runtime/") {
        return Vec::new();
    }
    let code = scan::code(text);
    // A feature of that name (`feature = "glommio"`) is a text and gone; the module `runtime::glommio` is the shell's name.
    let code = code.replace("runtime::glommio", "runtime::shell").replace("runtime::tokio", "runtime::shell");
    let mut complaints = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for (name, exceptions) in FENCED {
            let named = line.match_indices(name).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            });
            if named && !exceptions.iter().any(|exception| path.starts_with(exception)) {
                complaints.push(format!("{path}:{}: `{name}` belongs into src/runtime", number + 1));
            }
        }
    }
    complaints
}

pub fn forbids_unsafe(path: &str, text: &str) -> Vec<String> {
    let name = module(path);
    let is_root = path == format!("src/{name}.rs") || path == format!("src/{name}/mod.rs");
    if !DECISIONS.contains(&name) || !is_root || scan::code(text).trim().is_empty() {
        return Vec::new();
    }
    if scan::code(text).contains("#![forbid(unsafe_code)]") {
        return Vec::new();
    }
    vec![format!("{path}: a module of decisions begins with #![forbid(unsafe_code)]")]
}

pub fn length(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if is_test_file(path) || lines <= LINES_MAX {
        return Vec::new();
    }
    vec![format!("{path}: {lines} lines; a file has at most {LINES_MAX}")]
}

pub fn goals(path: &str, text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    // In code only: this file has attributes of tests in texts.
    let code = scan::code(text);
    let is_test = |line: &str| ["#[test]", "#[tokio::test]"].contains(&line.trim());
    let tests = code.lines().enumerate().filter(|(_, line)| is_test(line));
    let without_goal = tests.filter(|(at, _)| {
        let begins = |line: &&&str| line.starts_with("///") || line.starts_with("#[");
        let head: Vec<_> = lines[..*at].iter().rev().take_while(begins).collect();
        let after = lines[at + 1..].iter().take_while(begins);
        let mut docs = head.into_iter().rev().chain(after).filter(|line| line.starts_with("///"));
        !docs.next().is_some_and(|doc| doc.starts_with("/// Goal: "))
    });
    without_goal.map(|(at, _)| format!("{path}:{}: a test opens with `/// Goal: ...`", at + 1)).collect()
}

pub fn leftovers(path: &str, text: &str) -> Vec<String> {
    // Put together, so that this file does not accuse itself.
    let marks = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X"), concat!("HA", "CK")];
    let macros = [concat!("dbg", "!("), concat!("todo", "!("), concat!("unimplemented", "!(")];
    let code = scan::code(text);
    let lines = text.lines().zip(code.lines()).enumerate();
    let mut complaints = Vec::new();
    for (number, (line, code)) in lines {
        let is_word = |mark: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == mark);
        let left = marks.iter().filter(|mark| is_word(mark)).chain(macros.iter().filter(|name| code.contains(**name)));
        complaints.extend(left.map(|left| format!("{path}:{}: `{left}` is left over", number + 1)));
    }
    complaints
}

pub fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let homes = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let complaint = |(number, line): (usize, &str)| {
        let found = homes.iter().find(|home| line.contains(**home))?;
        Some(format!("{path}:{}: `{found}` exists on one machine only", number + 1))
    };
    text.lines().enumerate().filter_map(complaint).collect()
}

/// Goal: the rule about arrows sees a forbidden one, an unknown module, and the greater freedom of tests.
#[test]
fn arrows_can_fail() {
    assert_eq!(arrows("src/log/x.rs", "use crate::format::frame;\nuse crate::log::y;"), [""; 0]);
    assert_eq!(
        arrows("src/log/x.rs", "\nuse crate::{types, engine::y};"),
        ["src/log/x.rs:2: `log` must not use `engine`"]
    );
    assert_eq!(arrows("src/catalog/mod.rs", "fn f() { crate::shard::g() }").len(), 1);
    assert_eq!(arrows("src/new/mod.rs", "").len(), 1);
    assert_eq!(arrows("src/client/x.rs", "// use crate::server;\nlet x = \"crate::server::y\";"), [""; 0]);
    assert_eq!(arrows("src/sim/disk.rs", "use crate::server::Node;").len(), 1);
    assert_eq!(arrows("src/sim/workload/a.rs", "use crate::server::Node; use crate::sim::disk;"), [""; 0]);
    assert_eq!(arrows("src/engine/x.rs", "#[cfg(test)]\nmod tests {\nuse crate::sim::Sim;\n}"), [""; 0]);
    assert_eq!(arrows("src/engine/x.rs", "use crate::sim::Sim;").len(), 1);
    assert_eq!(arrows("src/engine/x/tests.rs", "use crate::sim::Sim;\nuse crate::client::C;").len(), 1);
    assert_eq!(arrows("src/main.rs", "millstream::server::run()").len(), 1);
}

/// Goal: arrows run downwards: no two modules may use each other, directly or round several corners.
#[test]
fn arrows_have_no_cycle() {
    // Every listed module comes after all it may use.
    let position = |name: &str| ARROWS.iter().position(|(module, _)| *module == name);
    for (at, (from, allowed)) in ARROWS.iter().enumerate() {
        for to in *allowed {
            let below = position(to).unwrap_or_else(|| panic!("{from} may use {to}, which is not listed"));
            assert!(below < at, "{from} -> {to} runs upwards");
        }
    }
}

/// Goal: the fence sees clocks, files, sockets and the shell's crates, outside the shell and in code only.
#[test]
fn fence_can_fail() {
    for line in ["use glommio::x;", "std::fs::read(p)", "let t = Instant::now();", "std::net::TcpStream::connect(a)"] {
        assert_eq!(fence("src/engine/x.rs", line).len(), 1, "{line}");
        assert_eq!(fence("src/runtime/glommio/x.rs", line), [""; 0]);
    }
    assert_eq!(fence("src/cli/x.rs", "std::fs::read(p)"), [""; 0]);
    assert_eq!(
        fence("src/server/x.rs", "// std::fs\n#[cfg(feature = \"glommio\")] use crate::runtime::glommio::Node;"),
        [""; 0]
    );
}

/// Goal: a module of decisions without the attribute is seen, also if the attribute is in a comment.
#[test]
fn forbids_unsafe_can_fail() {
    assert_eq!(forbids_unsafe("src/log/mod.rs", "//! Doc.\n// #![forbid(unsafe_code)]\npub mod x;").len(), 1);
    assert_eq!(forbids_unsafe("src/log/mod.rs", "#![forbid(unsafe_code)]\npub mod x;"), [""; 0]);
    assert_eq!(forbids_unsafe("src/log/x.rs", "pub mod x;"), [""; 0]);
    assert_eq!(forbids_unsafe("src/engine/mod.rs", "pub mod x;"), [""; 0]);
}

/// Goal: a line too many is seen, except in tests.
#[test]
fn length_can_fail() {
    assert_eq!(length("src/x.rs", &"x\n".repeat(LINES_MAX)), [""; 0]);
    assert_eq!(length("src/x.rs", &"x\n".repeat(LINES_MAX + 1)).len(), 1);
    assert_eq!(length("src/x/tests.rs", &"x\n".repeat(LINES_MAX + 1)), [""; 0]);
}

/// Goal: a test without its goal, or with another sentence before it, is seen.
#[test]
fn goals_can_fail() {
    let text = |doc: &str| format!("fn a() {{}}\n\n{doc}#[test]\n#[should_panic]\nfn b() {{}}");
    assert_eq!(goals("x.rs", &text("/// Goal: it works.\n/// More.\n")), [""; 0]);
    assert_eq!(goals("x.rs", &text("")), ["x.rs:3: a test opens with `/// Goal: ...`"]);
    assert_eq!(goals("x.rs", &text("/// It works.\n/// Goal: really.\n")).len(), 1);
    assert_eq!(goals("x.rs", &text("/// Goal: another's.\nfn c() {}\n")).len(), 1);
}

/// Goal: marks are seen as words, in comments too; macros in code only.
#[test]
fn leftovers_can_fail() {
    assert_eq!(leftovers("x.rs", concat!("a\n// TO", "DO: b")).len(), 1);
    assert_eq!(leftovers("x.rs", concat!("TO", "DOS fine")), [""; 0]);
    assert_eq!(leftovers("x.rs", concat!("let x = dbg", "!(y);")).len(), 1);
    assert_eq!(leftovers("x.rs", concat!("// no dbg", "!(y)")), [""; 0]);
}

/// Goal: a path into somebody's home is seen.
#[test]
fn machine_paths_can_fail() {
    assert_eq!(machine_paths("x.md", concat!("a\ncd /ho", "me/ann/src")).len(), 1);
    assert_eq!(machine_paths("x.md", "/var/lib/millstream, /usr/bin"), [""; 0]);
}
