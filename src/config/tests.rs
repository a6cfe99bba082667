use super::*;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn from_file(text: &str) -> Sources {
    Sources { file: Some((PathBuf::from("node.toml"), text.to_owned())), ..Sources::default() }
}

fn errors(sources: &Sources) -> Vec<String> {
    Config::load(sources).unwrap_err().iter().map(ToString::to_string).collect()
}

/// Goal: the defaults are valid, and are what the documentation of the limits says.
#[test]
fn defaults_load() {
    let loaded = Config::load(&Sources::default()).unwrap();
    assert_eq!((loaded.config.memory, loaded.config.tail_cache), (Amount::Auto, Amount::Auto));
    assert_eq!(loaded.config.stream_record_max.0, crate::limits::RECORD_BYTES_DEFAULT);
    assert_eq!(loaded.config.stream_retention.0, crate::limits::RETENTION_HOURS_MIN);
    assert!(loaded.origins.iter().all(|origin| *origin == Origin::Default));
    assert!(loaded.config.warnings().is_empty());
}

/// Goal: a flag beats a variable, a variable beats the file, the file beats the default, and each is named as origin.
#[test]
fn precedence() {
    let mut sources = from_file("# mine\nworkers = 3\nlog_level = \"warn\"\nspin_us = 7\n");
    sources.variables = pairs(&[("MILLSTREAM_WORKERS", "4"), ("MILLSTREAM_LOG_LEVEL", "debug"), ("HOME", "x")]);
    sources.flags = pairs(&[("workers", "5")]);
    let loaded = Config::load(&sources).unwrap();
    assert_eq!(loaded.config.workers, Workers::Count(5));
    assert_eq!(loaded.config.log_level, LogLevel::Debug);
    assert_eq!(loaded.config.spin_us, SpinUs(7));
    let origin = |key| loaded.origins[SETTINGS.iter().position(|setting| setting.key == key).unwrap()].to_string();
    assert_eq!(origin("workers"), "--workers");
    assert_eq!(origin("log_level"), "MILLSTREAM_LOG_LEVEL");
    assert_eq!(origin("spin_us"), "node.toml:4");
    assert_eq!(origin("data"), "default");
}

/// Goal: unknown keys and variables are errors that name the place and suggest the right name; foreign variables are none.
#[test]
fn unknown_names_are_refused_with_a_suggestion() {
    let mut sources = from_file("data = \"x\"\ntail-cache = \"1MiB\"\nwrkers = 2\n");
    sources.variables = pairs(&[
        ("MILLSTREAM_LISTN", "127.0.0.1:1"),
        ("MILLSTREAM_NODE", "a:1"),
        ("MILLSTREAM_CONFIG", "node.toml"),
        ("MILLSTREAM_QQQQQQ", "1"),
    ]);
    let errors = errors(&sources);
    assert_eq!(
        errors,
        [
            "node.toml:2: unknown setting `tail-cache`; did you mean `tail_cache`?",
            "node.toml:3: unknown setting `wrkers`; did you mean `workers`?",
            "MILLSTREAM_LISTN: unknown setting `MILLSTREAM_LISTN`; did you mean `MILLSTREAM_LISTEN`?",
            "MILLSTREAM_QQQQQQ: unknown setting `MILLSTREAM_QQQQQQ`; `millstream serve --help` lists them",
        ]
    );
}

/// Goal: every setting refuses a wrong value with a message that names flag, value and the way out.
#[test]
fn each_invalid_value_has_its_message() {
    let table = [
        ("data", "", "is empty; name a path"),
        ("listen", "localhost", "is not an address with a port; write it like 127.0.0.1:4566"),
        ("direct_port", "70000", "is not a port; use 0 to 65535"),
        ("workers", "0", "is not a number of workers; use 1 to 1024, or auto"),
        ("cpus", "3-1", "has the range 3-1, which runs backwards; write 1-3"),
        ("cpus", "1,0-2", "names CPU 1 twice"),
        ("cpus", "1,,2", "is not a list of CPUs; write it like 0-3,6, or all"),
        ("cpus", "65535", "is not a list of CPUs"),
        ("auth_token_file", "", "is empty; name a path"),
        ("tail_cache", "12 parsecs", "is not a size; write it like"),
        ("tail_cache", "99999999999TiB", "is not a size"),
        ("tail_cache", "-1", "is not a size"),
        ("answers_max", "much", "is not a size"),
        ("memory", "all", "is not a size; write it like 64KiB, 128MiB or 2GiB, or auto"),
        ("stream_retention", "soon", "is not a time; write hours like 24h or days like 7d"),
        ("stream_retention", "23h", "is out of range; a retention is 24h to 8760h"),
        ("stream_retention", "366d", "is out of range"),
        ("stream_record_max", "11MiB", "is out of range; a record has 1 byte to 10MiB"),
        ("stream_record_max", "0", "is out of range"),
        ("stream_durability", "maybe", "is not one of fsync, interval"),
        ("spin_us", "1s", "is not a number of microseconds; use 0 to 100000"),
        ("disk_warn", "101%", "is not a share; write a whole number like 5%"),
        ("disk_slow", "little", "is neither a share like 5% nor a size like 50GiB"),
        ("disk_refuse", "-1%", "is not a share"),
        ("kinesis_listen", "4567", "is not an address with a port; write it like 127.0.0.1:4566"),
        ("kinesis_region", "US East", "is not a region; write it like us-east-1"),
        ("kinesis_account", "1234", "is not an account; write its 12 digits, in quotes in a file"),
        ("kinesis_status_delay", "1s", "is not a number of milliseconds; use 0 to 600000"),
        ("kinesis_keys_file", "", "is empty; name a path"),
        ("kinesis_tls", "on", "is not one of auto, off"),
        ("kinesis_tls_certificate", "", "is empty; name a path"),
        ("kinesis_tls_key", "", "is empty; name a path"),
        ("log_level", "loud", "is not one of error, warn, info, debug, trace"),
        ("log_format", "xml", "is not one of text, json"),
    ];
    for (key, value, expected) in table {
        let sources = Sources { flags: pairs(&[(key, value)]), ..Sources::default() };
        let errors = errors(&sources);
        let start = format!("--{}: {key}: `{value}` {expected}", key.replace('_', "-"));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with(&start), "{errors:?} does not begin with {start:?}");
    }
    for setting in SETTINGS {
        assert!(table.iter().any(|(key, ..)| *key == setting.key), "no wrong value is tried for {}", setting.key);
    }
}

/// Goal: all mistakes of all sources are reported at once, not the first alone.
#[test]
fn all_mistakes_are_reported_together() {
    let mut sources = from_file("bogus_key_of_mine = 1\nlog_level = \"loud\"\n");
    sources.flags = pairs(&[("workers", "x")]);
    assert_eq!(errors(&sources).len(), 3);
}

/// Goal: a file that is no TOML, repeats a key, or gives a value of an impossible type is refused with its line.
#[test]
fn broken_files_are_refused_with_the_line() {
    for (text, line) in [("workers = = 2\n", 1), ("data = \"x\"\nworkers = 1\nworkers = 2\n", 3)] {
        let errors = errors(&from_file(text));
        assert!(errors[0].starts_with(&format!("node.toml:{line}: ")), "{errors:?}");
    }
    let errors = errors(&from_file("\nworkers = true\n"));
    assert_eq!(errors, ["node.toml:2: workers: `boolean` is not a text, a number or a list of these"]);
}

/// Goal: numbers and lists may be written without quotes in the file.
#[test]
fn files_take_plain_numbers_and_lists() {
    let loaded =
        Config::load(&from_file("cpus = [0, 2, \"4-6\"]\ntail_cache = 1_048_576\ndirect_port = 0x1000\n")).unwrap();
    assert_eq!(loaded.config.cpus.show(), "0,2,4-6");
    assert_eq!(loaded.config.tail_cache, Amount::Bytes(1 << 20));
    assert_eq!(loaded.config.direct_port, Port(4096));
}

/// Goal: thresholds of the disk reserve must fall, and be comparable; the message names both places.
#[test]
fn reserves_must_fall() {
    let load = |warn: &str, slow: &str, refuse: &str| {
        let flags = pairs(&[("disk_warn", warn), ("disk_slow", slow), ("disk_refuse", refuse)]);
        Config::load(&Sources { flags, ..Sources::default() })
    };
    load("30GiB", "20GiB", "20GiB").unwrap();
    let errors = load("4%", "5%", "2%").unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "disk_warn (--disk-warn) and disk_slow (--disk-slow): disk_warn must not be below disk_slow"
    );
    assert_eq!(load("30GiB", "5%", "2%").unwrap_err().len(), 1);
    assert_eq!(Reserve::Percent(5).free_bytes(u64::MAX / 2), u64::MAX / 40);
}

/// Goal: the two protocols do not share a port, on one address or on all of them.
#[test]
fn protocols_have_ports_of_their_own() {
    let errors_with = |listen: &str, kinesis: &str| {
        let flags = pairs(&[("listen", listen), ("kinesis_listen", kinesis)]);
        Config::load(&Sources { flags, ..Sources::default() }).map_or_else(|errors| errors.len(), |_| 0)
    };
    assert_eq!(errors_with("127.0.0.1:9", "127.0.0.1:9"), 1);
    assert_eq!(errors_with("0.0.0.0:9", "127.0.0.1:9"), 1);
    assert_eq!(errors_with("127.0.0.1:9", "[::]:9"), 1);
    assert_eq!(errors_with("127.0.0.1:9", "127.0.0.2:9"), 0);
    assert_eq!(errors_with("127.0.0.1:9", "127.0.0.1:10"), 0);
    assert_eq!(errors_with("127.0.0.1:0", "127.0.0.1:0"), 0);
    assert_eq!(errors_with("127.0.0.1:4567", "none"), 0);
}

/// Goal: a certificate without its key, a key without its certificate, and both without HTTPS are refused.
#[test]
fn certificate_and_key_belong_together() {
    let load = |flags: &[(&str, &str)]| {
        let loaded = Config::load(&Sources { flags: pairs(flags), ..Sources::default() });
        loaded.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (certificate, key) = (("kinesis_tls_certificate", "c.pem"), ("kinesis_tls_key", "k.pem"));
    load(&[certificate, key]).unwrap();
    let alone = "kinesis_tls_certificate (--kinesis-tls-certificate) and kinesis_tls_key (default): they belong together; \
                 give both, or none to have them made";
    assert_eq!(load(&[certificate]).unwrap_err(), [alone]);
    assert_eq!(load(&[key]).unwrap_err().len(), 1);
    let off = load(&[("kinesis_tls", "off"), certificate, key]).unwrap_err();
    assert_eq!(off.len(), 1);
    assert!(off[0].starts_with("kinesis_tls (--kinesis-tls) and kinesis_tls_certificate"), "{off:?}");
}

/// Goal: what --print-config prints loads again and gives the same configuration.
#[test]
fn printed_settings_load_again() {
    let flags = pairs(&[
        ("data", "a \"quoted\" dir"),
        ("cpus", "6,0-3"),
        ("tail_cache", "3KiB"),
        ("stream_retention", "7d"),
        ("auth_token_file", "token"),
        ("disk_warn", "50GiB"),
        ("disk_slow", "2000"),
        ("disk_refuse", "1B"),
        ("listen", "[::1]:1"),
        ("kinesis_listen", "none"),
        ("kinesis_account", "000123456789"),
        ("kinesis_status_delay", "250"),
        ("kinesis_tls", "off"),
    ]);
    let first = Config::load(&Sources { flags, ..Sources::default() }).unwrap();
    let printed = first.to_toml();
    assert!(printed.contains("# --cpus\n"), "{printed}");
    let second = Config::load(&from_file(&printed)).unwrap();
    assert_eq!(first.config, second.config);
}

/// Goal: an open port without a token and relaxed durability are pointed out.
#[test]
fn risky_settings_are_pointed_out() {
    let warnings = |flags: &[(&str, &str)]| {
        let loaded = Config::load(&Sources { flags: pairs(flags), ..Sources::default() }).unwrap();
        loaded.config.warnings().len()
    };
    assert_eq!(warnings(&[("listen", "0.0.0.0:4566"), ("stream_durability", "interval")]), 2);
    assert_eq!(warnings(&[("kinesis_listen", "0.0.0.0:4567")]), 1);
    assert_eq!(warnings(&[("kinesis_listen", "0.0.0.0:4567"), ("kinesis_keys_file", "keys.toml")]), 0);
    assert_eq!(warnings(&[("kinesis_listen", "none")]), 0);
}

/// Goal: workers land on the CPUs of the list in its order, with consecutive direct ports, and never on missing CPUs.
#[test]
fn placement_follows_the_list() {
    let place = |flags: &[(&str, &str)], available: &[u16]| {
        let loaded = Config::load(&Sources { flags: pairs(flags), ..Sources::default() }).unwrap();
        loaded.config.placement(available)
    };
    let places = place(&[("cpus", "6,0-1"), ("workers", "2"), ("direct_port", "5000")], &[0, 1, 6]).unwrap();
    let facts: Vec<_> = places.iter().map(|place| (place.worker.0, place.cpu, place.direct_port)).collect();
    assert_eq!(facts, [(0, 6, 5000), (1, 0, 5001)]);
    let places = place(&[], &[2, 3]).unwrap();
    let facts: Vec<_> = places.iter().map(|place| (place.worker.0, place.cpu, place.direct_port)).collect();
    assert_eq!(facts, [(0, 2, 0), (1, 3, 0)]);

    let missing = PlacementError::NoSuchCpu { cpu: 7, available: vec![0, 1] };
    assert_eq!(place(&[("cpus", "0,7")], &[0, 1]), Err(missing));
    assert_eq!(place(&[("workers", "3")], &[0, 1]), Err(PlacementError::TooManyWorkers { workers: 3, cpus: 2 }));
    assert!(matches!(place(&[("direct_port", "65535")], &[0, 1]), Err(PlacementError::Ports { last: 65_536, .. })));
    assert!(matches!(place(&[("direct_port", "4565")], &[0, 1]), Err(PlacementError::Ports { listen: 4566, .. })));
    let kinesis = place(&[("direct_port", "4567")], &[0, 1]).unwrap_err();
    assert!(kinesis.to_string().ends_with("nor contain 4567, the port of kinesis_listen"), "{kinesis}");
    place(&[("direct_port", "4567"), ("kinesis_listen", "none")], &[0, 1]).unwrap();
}

/// Goal: a token file gives its one token; anything else is refused, and the token never shows in debug output.
#[test]
fn token_files() {
    let token = Token::from_file_text("  s3cret\n").unwrap();
    assert_eq!(token.reveal(), "s3cret");
    assert!(!format!("{token:?}").contains("s3cret"));
    assert_eq!(Token::from_file_text(" \n"), Err(TokenError::Empty));
    assert_eq!(Token::from_file_text("two\nlines"), Err(TokenError::Characters));
    assert_eq!(Token::from_file_text(&"x".repeat(257)), Err(TokenError::TooLong { bytes: 257 }));
}

/// Goal: names made from the table are well-formed and none is taken twice, also not by the variables of clients.
#[test]
fn names_are_distinct() {
    let mut variables: Vec<_> = SETTINGS.iter().map(Setting::variable).collect();
    variables.extend(OTHER_VARIABLES.iter().map(ToString::to_string));
    let count = variables.len();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), count);
    for setting in SETTINGS {
        assert!(setting.help.trim().ends_with('.'), "{}", setting.key);
        assert!(setting.key.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", setting.key);
    }
}
