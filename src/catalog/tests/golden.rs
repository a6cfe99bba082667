//! Golden scripts: `tests/golden/catalog/*.txt`. A line that starts with `>` is a command, the lines after it are what the
//! catalogue answered. Lines with `#` are comments.
//!
//! ```text
//! > create NAME shards=N workers=N [retention=HOURS] [record=BYTES] [durability=fsync|interval]
//! > activate|delete|forget STREAM            by number
//! > update STREAM [retention=HOURS] [record=BYTES] [durability=fsync|interval]
//! > show [workers=N]                         the whole state
//! > loads N                                  shards per worker, on a node with N workers
//! > list [after=NAME] [limit=N]              a page of names
//! > route STREAM key=N                       the shard for a hash key
//! > shard GROUP                              whose it is
//! > restart                                  through a snapshot
//! ```
//! A failing script prints the whole text that would pass.

use std::fmt::Write as _;

use super::*;

const SCRIPTS: [(&str, &str); 4] = [
    ("life", include_str!("../../../tests/golden/catalog/life.txt")),
    ("limits", include_str!("../../../tests/golden/catalog/limits.txt")),
    ("placement", include_str!("../../../tests/golden/catalog/placement.txt")),
    ("routing", include_str!("../../../tests/golden/catalog/routing.txt")),
];

/// Goal: commands, events, errors and state are as the committed scripts show them.
#[test]
fn golden_scripts() {
    for (name, script) in SCRIPTS {
        let actual = run(script);
        assert!(actual == script, "tests/golden/catalog/{name}.txt differs; it would pass as:\n{actual}");
    }
}

fn run(script: &str) -> String {
    let mut out = String::new();
    let mut node = Node { catalog: Catalog::new(), clock: NOW };
    let is_input = |line: &&str| line.is_empty() || line.starts_with(['>', '#']);
    for line in script.lines().filter(is_input) {
        writeln!(out, "{line}").unwrap();
        if let Some(line) = line.strip_prefix("> ") {
            out.push_str(&node.execute(&Line::parse(line)));
        }
    }
    out
}

/// A parsed line: verb, subject, options.
struct Line<'a> {
    verb: &'a str,
    subject: &'a str,
    options: Vec<(&'a str, &'a str)>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let mut words = line.split(' ').peekable();
        let verb = words.next().unwrap();
        let subject = words.next_if(|word| !word.contains('=')).unwrap_or_default();
        let options = words.map(|word| word.split_once('=').unwrap()).collect();
        Self { verb, subject, options }
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.options.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(&self, key: &str) -> Option<T> {
        self.text(key).map(|value| value.parse().unwrap())
    }

    fn stream(&self) -> StreamId {
        StreamId(self.subject.parse().unwrap())
    }

    fn change(&self) -> SettingsChange {
        SettingsChange {
            retention_hours: self.number("retention"),
            record_bytes_max: self.number("record"),
            durability: self.text("durability").map(|name| match name {
                "fsync" => Durability::Fsync,
                "interval" => Durability::Interval,
                other => panic!("durability {other}"),
            }),
        }
    }
}

struct Node {
    catalog: Catalog,
    clock: WallUs,
}

impl Node {
    fn execute(&mut self, line: &Line<'_>) -> String {
        let stream = || line.stream();
        match line.verb {
            "create" => {
                self.clock.0 += 1_000_000;
                self.command(Command::CreateStream(CreateStream {
                    name: line.subject.to_owned(),
                    shard_count: line.number("shards").unwrap(),
                    settings: line.change().applied_to(Settings::default()),
                    now: self.clock,
                    workers: line.number("workers").unwrap(),
                }))
            }
            "activate" => self.command(Command::ActivateStream { stream: stream() }),
            "update" => self.command(Command::UpdateStream { stream: stream(), change: line.change() }),
            "delete" => self.command(Command::DeleteStream { stream: stream() }),
            "forget" => self.command(Command::ForgetStream { stream: stream() }),
            "show" => show(&self.catalog, line.number("workers")),
            "loads" => format!("{:?}\n", self.catalog.loads(line.subject.parse().unwrap())),
            "list" => {
                let limit = line.number("limit").unwrap_or(usize::MAX);
                let page = self.catalog.streams_after(line.text("after")).take(limit);
                page.map(|stream| format!("{} {}\n", stream.name, stream.status)).collect()
            }
            "route" => match self.catalog.route(stream(), HashKey(line.number("key").unwrap())) {
                Some(shard) => format!("{}\n", show_shard(shard)),
                None => "none\n".to_owned(),
            },
            "shard" => match self.catalog.shard(GroupId(line.subject.parse().unwrap())) {
                Some((stream, shard)) => format!("{} of stream {} {}\n", shard.number, stream.id, stream.name),
                None => "none\n".to_owned(),
            },
            "restart" => {
                let restarted = Catalog::decode_snapshot(&self.catalog.encode_snapshot()).unwrap();
                assert_eq!(restarted, self.catalog);
                self.catalog = restarted;
                String::new()
            }
            other => panic!("unknown verb {other}"),
        }
    }

    /// Takes a command on its whole way: check, bytes, apply.
    fn command(&mut self, command: Command) -> String {
        if let Err(error) = self.catalog.check(&command) {
            let class = if error.is_retryable() { "error, retryable" } else { "error" };
            return format!("{class}: {error}\n");
        }
        let command = Command::decode(&command.encode()).unwrap();
        let events = self.catalog.apply(&command).unwrap();
        self.catalog.advance(self.catalog.applied().end, Term(1));
        events.iter().map(|event| format!("{}\n", show_event(event))).collect()
    }
}

fn show(catalog: &Catalog, workers: Option<u16>) -> String {
    let mut out = String::new();
    let Applied { end, term } = catalog.applied();
    writeln!(out, "version {}, applied below {end} of term {term}", catalog.version()).unwrap();
    for stream in catalog.streams() {
        let Stream { id, name, created, status, settings, .. } = stream;
        writeln!(out, "stream {id} {name} {status} created {created} {}", show_settings(settings)).unwrap();
        for shard in stream.shards() {
            let owner = workers.map(|n| format!(", served by worker {}", shard.worker(n))).unwrap_or_default();
            writeln!(out, "  {}{owner}", show_shard(shard)).unwrap();
        }
    }
    out
}

fn show_shard(shard: &Shard) -> String {
    format!("{} group {} on worker {} keys {}", shard.number, shard.group, shard.placed_on, shard.range)
}

fn show_settings(settings: &Settings) -> String {
    let Settings { retention_hours, record_bytes_max, durability } = settings;
    format!("retention {retention_hours} h, records up to {record_bytes_max} B, {durability}")
}

fn show_event(event: &Event) -> String {
    let places = |shards: &[Placed]| {
        let place = |p: &Placed| format!("{}:g{}@w{}", p.shard.0, p.group, p.placed_on);
        shards.iter().map(place).collect::<Vec<_>>().join(" ")
    };
    match event {
        Event::StreamCreating { stream, shards } => format!("creating {stream}: {}", places(shards)),
        Event::StreamActive { stream } => format!("active {stream}"),
        Event::StreamUpdated { stream, settings } => format!("updated {stream}: {}", show_settings(settings)),
        Event::StreamDeleting { stream, shards } => format!("deleting {stream}: {}", places(shards)),
        Event::StreamForgotten { stream, shards } => format!("forgotten {stream}: {}", places(shards)),
    }
}
