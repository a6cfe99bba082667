use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::serve::ServeArgs;
use crate::types::Offset;

/// The whole command line, also what is not bound yet.
#[derive(Debug, Parser)]
#[command(name = "millstream")]
struct Whole {
    #[command(subcommand)]
    command: Everything,
}

#[derive(Debug, Subcommand)]
enum Everything {
    Serve(ServeArgs),
    #[command(subcommand)]
    Stream(StreamCommand),
    #[command(subcommand)]
    Consumer(ConsumerCommand),
    #[command(subcommand)]
    Group(GroupCommand),
    Put(PutArgs),
    Get(ReadArgs),
    Tail(TailArgs),
    #[command(subcommand)]
    Log(LogCommand),
    Completions(CompletionsArgs),
}

fn parse(line: &str) -> Result<Everything, clap::Error> {
    Whole::try_parse_from(line.split(' ')).map(|whole| whole.command)
}

/// Goal: the whole command line is consistent (clap asserts no flag twice, no reference to a missing one).
#[test]
fn whole_command_line_is_consistent() {
    Whole::command().debug_assert();
}

/// Goal: every example of a help text parses.
#[test]
fn examples_parse() {
    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.extend(help.lines().flat_map(|line| line.split('|')).filter_map(|part| {
            let part = part.trim().strip_prefix("millstream ")?;
            Some(part.split(" >").next().unwrap_or(part).to_owned())
        }));
        for sub in command.get_subcommands() {
            examples(sub, found);
        }
    }
    let mut found = Vec::new();
    examples(&Whole::command(), &mut found);
    assert!(found.len() >= 10, "{found:?}");
    for example in found {
        parse(&format!("millstream {example}")).unwrap_or_else(|error| panic!("{example}: {error}"));
    }
}

/// Goal: addresses are understood with and without a port, for names and both kinds of IP address.
#[test]
fn node_addresses() {
    for (text, shown) in [
        ("127.0.0.1:4567", "127.0.0.1:4567"),
        ("node.example", "node.example:4566"),
        ("[::1]:1", "[::1]:1"),
        ("[::1]", "[::1]:4566"),
        ("::1", "[::1]:4566"),
    ] {
        assert_eq!(text.parse::<NodeAddr>().unwrap().to_string(), shown);
    }
    for text in ["", ":1", "host:", "host:0", "host:x", "host:70000", "[::1", "[::1]1", "a b"] {
        assert!(text.parse::<NodeAddr>().is_err(), "{text}");
    }
}

/// Goal: a time ago, which begins with a dash, is a value of --from and no flag; tail from the latest follows by itself.
#[test]
fn reading_positions() {
    let Ok(Everything::Get(get)) = parse("millstream get s --from -10m") else { panic!("get does not parse") };
    assert_eq!(get.from, Some(From::Ago(Duration::from_secs(600))));
    assert!(!get.follows(From::Horizon));
    let Ok(Everything::Tail(tail)) = parse("millstream tail s") else { panic!("tail does not parse") };
    assert!(tail.read.follows(From::Latest));
    let Ok(Everything::Tail(tail)) = parse("millstream tail s --from 7 --shard 1") else {
        panic!("tail does not parse")
    };
    assert_eq!(tail.read.from, Some(From::Offset(Offset(7))));
    assert!(!tail.read.follows(From::Latest));
}

/// Goal: what contradicts itself or is out of range is refused by the parser.
#[test]
fn contradictions_are_refused() {
    for line in [
        "millstream put s --key a --key-field b",
        "millstream put s --json-records --key a",
        "millstream put s --json-records --null",
        "millstream put s --batch 0",
        "millstream get s --json --raw",
        "millstream get s --null",
        "millstream stream create s --shards 0",
        "millstream stream create s --shards 10001",
        "millstream stream create s --retention 1h",
        "millstream stream update s",
        "millstream log repair",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
    parse("millstream stream update s --retention 48h").unwrap();
}

/// Goal: limits that go together are understood together, and a mode that does not exist names those that do.
#[test]
fn settings_are_understood() {
    let Ok(Everything::Stream(StreamCommand::Limits(args))) =
        parse("millstream stream limits s custom --write-records 5 --read-bytes 2MiB")
    else {
        panic!("parses");
    };
    let expected = LimitsArgs { write_records: Some(5), read_bytes: Some(2 << 20), ..LimitsArgs::default() };
    assert_eq!((args.limits, args.custom), (LimitKind::Custom, expected));
    let wrong = parse("millstream stream mode s ondemand").unwrap_err().to_string();
    assert!(wrong.contains("provisioned") && wrong.contains("on-demand"), "{wrong}");
    for line in ["stream scale s 0", "stream split s x", "stream move s 1 --to -1", "stream update s", "stream split s"]
    {
        assert!(parse(&format!("millstream {line}")).is_err(), "{line}");
    }
    assert!(parse("millstream tail s --group a --shard 1").is_err());
}
