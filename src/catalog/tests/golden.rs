//! Golden scripts: `tests/golden/catalog/*.txt`. A line that starts with `>` is a command, the lines after it are what the
//! catalogue answered. Lines with `#` are comments.
//!
//! ```text
//! > create NAME shards=N workers=N [SETTING...] [tags=KEY:VALUE,...]
//! > activate|forget STREAM                   by number
//! > delete STREAM [enforce=true]
//! > update STREAM SETTING...
//! > reshard STREAM ops=split:SHARD@KEY,merge:SHARD+SHARD,... workers=N [by=node]
//! > finish STREAM ends=SHARD:OFFSET,...
//! > scale STREAM target=N
//! > scale-done STREAM
//! > move STREAM shard=N to=WORKER
//! > expire|forget-shards STREAM shards=N,...
//! > tag STREAM [consumer=N] [set=KEY:VALUE,...] [remove=KEY,...]
//! > encrypt STREAM [key=ID]
//! > monitor STREAM metrics=NAME,...
//! > policy STREAM [consumer=N] [text=POLICY]
//! > register STREAM name=NAME [tags=KEY:VALUE,...]
//! > deregister STREAM consumer=N
//! > put SPACE key=KEY value=VALUE [expect=absent|VERSION] [token=N]
//! > remove SPACE key=KEY [expect=absent|VERSION] [token=N]
//! > claim SPACE key=KEY owner=NAME [ttl=MS] [from=TOKEN]
//! > release SPACE key=KEY token=N
//! > stored                                   all stored values
//! > show [workers=N]                         the whole state
//! > loads N                                  shards per worker, on a node with N workers
//! > list [after=NAME] [limit=N]              a page of names
//! > route STREAM key=N                       the shard for a hash key
//! > children STREAM shard=N                  the shards made from one
//! > shard GROUP                              whose it is
//! > wait SECONDS                             or back, if negative
//! > restart                                  through a snapshot
//!
//! SETTING: retention=HOURS  record=BYTES  durability=fsync|interval  limits=none|aws|RECORDS/BYTES/CALLS/BYTES/BYTES
//!          mode=provisioned|MIN..MAX  distribution=keys|auto  warm=MIB  wait=MS
//! ```
//! Failing scripts print the whole text that would pass.

use std::fmt::Write as _;

use super::*;

macro_rules! scripts {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../tests/golden/catalog/", $name, ".txt")))),*]
    };
}

const SCRIPTS: &[(&str, &str)] = scripts! {
    "life" "limits" "placement" "routing" "split_merge" "scale" "retention" "settings" "metadata" "consumers" "leases"
};

/// Goal: commands, events, errors and state are as the committed scripts show them.
#[test]
fn golden_scripts() {
    let mut differing = String::new();
    for (name, script) in SCRIPTS {
        let actual = run(script);
        if actual != *script {
            write!(differing, "tests/golden/catalog/{name}.txt differs; it would pass as:\n{actual}").unwrap();
        }
    }
    assert!(differing.is_empty(), "{differing}");
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

    fn list(&self, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text(key).unwrap_or_default().split(',').filter(|item| !item.is_empty())
    }

    fn shards(&self) -> Vec<ShardNumber> {
        self.list("shards").map(|number| ShardNumber(number.parse().unwrap())).collect()
    }

    fn tags(&self, key: &str) -> Tags {
        tags(&self.list(key).map(|pair| pair.split_once(':').unwrap()).collect::<Vec<_>>())
    }

    fn consumer(&self) -> Option<ConsumerId> {
        self.number("consumer").map(ConsumerId)
    }

    fn name(&self) -> Name {
        name(self.subject, self.text("key").unwrap())
    }

    fn expect(&self) -> Expect {
        match self.text("expect") {
            None => Expect::Any,
            Some("absent") => Expect::Absent,
            Some(version) => Expect::Version(version.parse().unwrap()),
        }
    }

    fn op(text: &str) -> ReshardOp {
        let number = |text: &str| ShardNumber(text.parse().unwrap());
        match text.split_once(':').unwrap() {
            ("split", rest) => {
                let (shard, at) = rest.split_once('@').unwrap();
                ReshardOp::Split { shard: number(shard), at: HashKey(at.parse().unwrap()) }
            }
            ("merge", rest) => {
                let (shard, adjacent) = rest.split_once('+').unwrap();
                ReshardOp::Merge { shard: number(shard), adjacent: number(adjacent) }
            }
            other => panic!("operation {other:?}"),
        }
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
            limits: self.text("limits").map(|limits| match limits {
                "none" => Limits::None,
                "aws" => Limits::Aws,
                custom => {
                    let numbers: Vec<u64> = custom.split('/').map(|number| number.parse().unwrap()).collect();
                    let [records, bytes, calls, read, fanout] = numbers[..] else { panic!("limits {custom}") };
                    Limits::Custom(CustomLimits {
                        write_records_s: records as u32,
                        write_bytes_s: bytes,
                        read_calls_s: calls as u32,
                        read_bytes_s: read,
                        fanout_bytes_s: fanout,
                    })
                }
            }),
            mode: self.text("mode").map(|mode| match mode.split_once("..") {
                None => Mode::Provisioned,
                Some((min, max)) => {
                    Mode::OnDemand(Bounds { shards_min: min.parse().unwrap(), shards_max: max.parse().unwrap() })
                }
            }),
            distribution: self.text("distribution").map(|name| match name {
                "keys" => Distribution::PartitionKey,
                "auto" => Distribution::Auto,
                other => panic!("distribution {other}"),
            }),
            warm_throughput_mib: self.number("warm"),
            get_records_wait_ms: self.number("wait"),
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
                    tags: line.tags("tags"),
                    now: self.clock,
                    workers: line.number("workers").unwrap(),
                }))
            }
            "activate" => self.command(Command::ActivateStream { stream: stream() }),
            "update" => {
                self.command(Command::UpdateStream { stream: stream(), change: line.change(), now: self.clock })
            }
            "delete" => self
                .command(Command::DeleteStream { stream: stream(), enforce: line.number("enforce").unwrap_or(false) }),
            "forget" => self.command(Command::ForgetStream { stream: stream() }),
            "reshard" => self.command(Command::Reshard(Reshard {
                stream: stream(),
                ops: line.list("ops").map(Line::op).collect(),
                by_node: line.text("by") == Some("node"),
                now: self.clock,
                workers: line.number("workers").unwrap(),
            })),
            "finish" => {
                let end = |pair: &str| {
                    let (shard, end) = pair.split_once(':').unwrap();
                    (ShardNumber(shard.parse().unwrap()), Offset(end.parse().unwrap()))
                };
                let ends = line.list("ends").map(end).collect();
                self.command(Command::FinishReshard { stream: stream(), ends, now: self.clock })
            }
            "scale" => {
                let target = line.number("target").unwrap();
                self.command(Command::ScaleStream { stream: stream(), target, now: self.clock })
            }
            "scale-done" => self.command(Command::ScaleDone { stream: stream() }),
            "move" => self.command(Command::MoveShard {
                stream: stream(),
                shard: ShardNumber(line.number("shard").unwrap()),
                to: WorkerId(line.number("to").unwrap()),
            }),
            "expire" => self.command(Command::ExpireShards { stream: stream(), shards: line.shards() }),
            "forget-shards" => self.command(Command::ForgetShards { stream: stream(), shards: line.shards() }),
            "tag" => self.command(Command::TagStream {
                stream: stream(),
                consumer: line.consumer(),
                set: line.tags("set"),
                remove: line.list("remove").map(str::to_owned).collect(),
            }),
            "encrypt" => {
                let key_id = line.text("key").map(str::to_owned);
                self.command(Command::SetEncryption { stream: stream(), key_id, now: self.clock })
            }
            "monitor" => {
                let named = |name| ShardMetrics::named(name).unwrap();
                let metrics = line.list("metrics").map(named).fold(ShardMetrics::NONE, |all, one| all | one);
                self.command(Command::SetMonitoring { stream: stream(), metrics })
            }
            "policy" => {
                let policy = line.text("text").map(str::to_owned);
                self.command(Command::SetPolicy { stream: stream(), consumer: line.consumer(), policy })
            }
            "register" => self.command(Command::RegisterConsumer {
                stream: stream(),
                name: line.text("name").unwrap().to_owned(),
                tags: line.tags("tags"),
                now: self.clock,
            }),
            "deregister" => {
                let consumer = line.consumer().unwrap();
                self.command(Command::DeregisterConsumer { stream: stream(), consumer })
            }
            "put" => self.command(Command::Store(StoreCommand::Put {
                name: line.name(),
                value: line.text("value").unwrap().to_owned().into(),
                expect: line.expect(),
                token: line.number("token"),
            })),
            "remove" => self.command(Command::Store(StoreCommand::Delete {
                name: line.name(),
                expect: line.expect(),
                token: line.number("token"),
            })),
            "claim" => self.command(Command::Store(StoreCommand::Claim {
                name: line.name(),
                owner: line.text("owner").unwrap().to_owned(),
                ttl_ms: line.number("ttl").unwrap_or(10_000),
                take_from: line.number("from"),
            })),
            "release" => self.command(Command::Store(StoreCommand::Release {
                name: line.name(),
                token: line.number("token").unwrap(),
            })),
            "stored" => show_stored(self.catalog.store()),
            "wait" => {
                let seconds: i64 = line.subject.parse().unwrap();
                self.clock.0 = self.clock.0.saturating_add_signed(seconds * 1_000_000);
                String::new()
            }
            "children" => {
                let shard = ShardNumber(line.number("shard").unwrap());
                let children = self.catalog.stream(stream()).unwrap().children(shard);
                children.map(|shard| format!("{}\n", show_shard(shard))).collect()
            }
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
        if stream.expired_before() != WallUs(0) {
            writeln!(out, "  records before {} have expired", stream.expired_before()).unwrap();
        }
        if let Some(target) = stream.scaling() {
            writeln!(out, "  scaling to {target} shards").unwrap();
        }
        let Metadata { tags, encryption, monitoring, policy } = stream.metadata();
        if !tags.is_empty() {
            writeln!(out, "  tags {tags:?}").unwrap();
        }
        if let Some(Encryption { key_id }) = encryption {
            writeln!(out, "  encrypted with {key_id}").unwrap();
        }
        if *monitoring != ShardMetrics::NONE {
            writeln!(out, "  metrics {}", monitoring.names().collect::<Vec<_>>().join(", ")).unwrap();
        }
        if let Some(policy) = policy {
            writeln!(out, "  policy {policy}").unwrap();
        }
        for Consumer { id, name, created, tags, policy } in stream.consumers() {
            write!(out, "  consumer {id} {name} created {created}").unwrap();
            if !tags.is_empty() {
                write!(out, " tags {tags:?}").unwrap();
            }
            if let Some(policy) = policy {
                write!(out, " policy {policy}").unwrap();
            }
            out.push('\n');
        }
        for shard in stream.shards() {
            let owner = workers.map(|n| format!(", served by worker {}", shard.worker(n))).unwrap_or_default();
            writeln!(out, "  {}{owner}", show_shard(shard)).unwrap();
        }
    }
    out
}

fn show_shard(shard: &Shard) -> String {
    let mut out = format!("{} group {} on worker {} keys {}", shard.number, shard.group, shard.placed_on, shard.range);
    let parents: Vec<_> = shard.parents().map(|parent| parent.0.to_string()).collect();
    if !parents.is_empty() {
        write!(out, ", from {}, created {}", parents.join(" and "), shard.created).unwrap();
    }
    match shard.state {
        ShardState::Open => {}
        ShardState::Closed { end, at } => write!(out, ", closed at {at} with end {end}").unwrap(),
        state => write!(out, ", {state}").unwrap(),
    }
    out
}

fn show_settings(settings: &Settings) -> String {
    let Settings {
        retention_hours,
        record_bytes_max,
        durability,
        limits,
        mode,
        distribution,
        warm_throughput_mib,
        get_records_wait_ms,
    } = settings;
    let mut out = format!("retention {retention_hours} h, records up to {record_bytes_max} B, {durability}");
    if *limits != Limits::None {
        write!(out, ", limits {limits}").unwrap();
    }
    if let Mode::OnDemand(Bounds { shards_min, shards_max }) = mode {
        write!(out, ", {mode} with {shards_min} to {shards_max} shards, {distribution}").unwrap();
        write!(out, ", warm {warm_throughput_mib} MiB/s").unwrap();
    }
    if *get_records_wait_ms != 0 {
        write!(out, ", empty gets wait {get_records_wait_ms} ms").unwrap();
    }
    out
}

fn show_stored(store: &Store) -> String {
    let mut out = format!("{} values, {} bytes\n", store.items(), store.bytes());
    for space in store.spaces() {
        for (key, Item { version, value, lease }) in store.items_after(space, None) {
            write!(out, "  {space} {key} version {version} {value:?}").unwrap();
            if let Some(Lease { owner, token, ttl_ms }) = lease {
                write!(out, ", {owner} has lease {token} for {ttl_ms} ms").unwrap();
            }
            out.push('\n');
        }
    }
    out
}

fn show_event(event: &Event) -> String {
    let places = |shards: &[Placed]| {
        let place = |p: &Placed| format!("{}:g{}@w{}", p.shard.0, p.group, p.placed_on);
        shards.iter().map(place).collect::<Vec<_>>().join(" ")
    };
    match event {
        Event::StreamCreating { stream, shards } => format!("creating {stream}: {}", places(shards)),
        Event::StreamActive { stream } => format!("active {stream}"),
        Event::StreamUpdated { stream, settings, expired_before: WallUs(0) } => {
            format!("updated {stream}: {}", show_settings(settings))
        }
        Event::StreamUpdated { stream, settings, expired_before } => {
            format!("updated {stream}: {}, expired before {expired_before}", show_settings(settings))
        }
        Event::StreamDeleting { stream, shards } => format!("deleting {stream}: {}", places(shards)),
        Event::StreamForgotten { stream, shards } => format!("forgotten {stream}: {}", places(shards)),
        Event::ReshardBegun { stream, parents, children } => {
            format!("resharding {stream}: {} to {}", places(parents), places(children))
        }
        Event::ReshardFinished { stream, closed, opened } => {
            format!("resharded {stream}: closed {}, opened {}", places(closed), places(opened))
        }
        Event::ScalingBegun { stream, target } => format!("scaling {stream} to {target}"),
        Event::ScalingEnded { stream } => format!("scaled {stream}"),
        Event::ShardMoved { stream, shard, from } => format!("moved {stream}: {} from w{from}", places(&[*shard])),
        Event::ShardsExpired { stream, shards } => format!("expired {stream}: {}", places(shards)),
        Event::ShardsForgotten { stream, shards } => format!("forgotten {stream}: {}", places(shards)),
        Event::MetadataUpdated { stream } => format!("noted {stream}"),
        Event::ConsumerRegistered { stream, consumer } => format!("registered {stream}: consumer {consumer}"),
        Event::ConsumerDeregistered { stream, consumer } => format!("deregistered {stream}: consumer {consumer}"),
        Event::Stored { version, token } => {
            let number = |number: &Option<u64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
            format!("stored: version {}, lease {}", number(version), number(token))
        }
    }
}
