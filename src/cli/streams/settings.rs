//! Settings of a stream: from arguments to changes, from what a stream has to text and JSON, and the commands that change
//! one of them.

use serde_json::{Value, json};

use super::tags as borrowed;
use crate::cli::args::{
    CapacityArgs, DistributionArgs, JsonArg, LimitKind, LimitsArgs, LimitsCommandArgs, ModeArgs, ModeKind, NodeArgs,
    RetentionArgs, SpreadKind, StreamSettings as Given, StreamUpdateArgs, TagsArgs,
};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{say, size, table};
use crate::cli::remote::{self, failure};
use crate::client::{
    CapacityMode, CustomLimits, Distribution, MetadataChange, SettingsChange, StreamLimits, StreamSettings,
};

/// The change that was asked for, of a stream that has the settings `current` if it exists.
///
/// # Errors
/// Numbers beside a mode or limits that have none.
pub fn change(given: &Given, current: Option<&StreamSettings>) -> Result<SettingsChange, Failure> {
    Ok(SettingsChange {
        retention_hours: given.retention.map(|hours| hours.0),
        record_bytes_max: given.record_max.map(|bytes| bytes.0),
        durability: given.durability,
        limits: limits(given.limits, &given.custom, current.map(|current| current.limits))?,
        mode: mode(given.mode, &given.capacity, current.map(|current| current.mode))?,
        distribution: given.distribution.map(|by| match by {
            SpreadKind::Key => Distribution::PartitionKey,
            SpreadKind::Auto => Distribution::Auto,
        }),
        warm_throughput_mib: given.capacity.warm,
        get_records_wait_ms: given.get_records_wait,
    })
}

/// Whether the change is one of parts of a setting, so that what it has now has to be known.
pub fn is_partial(given: &Given) -> bool {
    given.mode != Some(ModeKind::Provisioned) && (given.mode.is_some() || given.capacity != CapacityArgs::default())
        || !given.custom.is_empty()
}

fn mode(
    kind: Option<ModeKind>,
    numbers: &CapacityArgs,
    current: Option<CapacityMode>,
) -> Result<Option<CapacityMode>, Failure> {
    let is_on_demand = matches!(current, Some(CapacityMode::OnDemand { .. }));
    match kind {
        None if *numbers == CapacityArgs::default() => Ok(None),
        None if !is_on_demand => Err(only_on_demand()),
        Some(ModeKind::Provisioned) if *numbers != CapacityArgs::default() => Err(only_on_demand()),
        Some(ModeKind::Provisioned) => Ok(Some(CapacityMode::Provisioned)),
        None | Some(ModeKind::OnDemand) => {
            let (min, max) = match current {
                Some(CapacityMode::OnDemand { shards_min, shards_max }) => (shards_min, shards_max),
                // The node's defaults.
                _ => (0, 0),
            };
            let (shards_min, shards_max) = (numbers.min.unwrap_or(min), numbers.max.unwrap_or(max));
            Ok(Some(CapacityMode::OnDemand { shards_min, shards_max }))
        }
    }
}

fn only_on_demand() -> Failure {
    Failure::new(Exit::Usage, "--min, --max and --warm are for streams on demand; say --mode on-demand too")
}

fn limits(
    kind: Option<LimitKind>,
    numbers: &LimitsArgs,
    current: Option<StreamLimits>,
) -> Result<Option<StreamLimits>, Failure> {
    let before = match current {
        Some(StreamLimits::Custom(limits)) => Some(limits),
        _ => None,
    };
    match (kind, numbers.is_empty()) {
        (None, true) => Ok(None),
        (Some(LimitKind::None), true) => Ok(Some(StreamLimits::None)),
        (Some(LimitKind::Aws), true) => Ok(Some(StreamLimits::Aws)),
        (Some(LimitKind::Custom), true) => {
            Err(Failure::new(Exit::Usage, "custom limits need a number: see --write-records and those after it"))
        }
        (None, false) if before.is_none() => {
            Err(Failure::new(Exit::Usage, "numbers are for custom limits; say --limits custom too"))
        }
        (Some(LimitKind::None | LimitKind::Aws), false) => {
            Err(Failure::new(Exit::Usage, "numbers are for custom limits only"))
        }
        (None | Some(LimitKind::Custom), false) => {
            let before = before.unwrap_or_default();
            Ok(Some(StreamLimits::Custom(CustomLimits {
                write_records_s: numbers.write_records.unwrap_or(before.write_records_s),
                write_bytes_s: numbers.write_bytes.unwrap_or(before.write_bytes_s),
                read_calls_s: numbers.read_calls.unwrap_or(before.read_calls_s),
                read_bytes_s: numbers.read_bytes.unwrap_or(before.read_bytes_s),
                fanout_bytes_s: numbers.fanout_bytes.unwrap_or(before.fanout_bytes_s),
            })))
        }
    }
}

/// The settings of a stream as fields of a JSON object.
pub fn as_json(settings: &StreamSettings) -> Value {
    json!({
        "retention_hours": settings.retention_hours,
        "record_bytes_max": settings.record_bytes_max,
        "durability": settings.durability.name(),
        "mode": mode_name(settings.mode),
        "bounds": match settings.mode {
            CapacityMode::Provisioned => Value::Null,
            CapacityMode::OnDemand { shards_min, shards_max } => json!({"min": shards_min, "max": shards_max}),
        },
        "warm_throughput_mib": settings.warm_throughput_mib,
        "limits": match settings.limits {
            StreamLimits::None => json!("none"),
            StreamLimits::Aws => json!("aws"),
            StreamLimits::Custom(limits) => json!({
                "write_records_s": limits.write_records_s,
                "write_bytes_s": limits.write_bytes_s,
                "read_calls_s": limits.read_calls_s,
                "read_bytes_s": limits.read_bytes_s,
                "fanout_bytes_s": limits.fanout_bytes_s,
            }),
        },
        "distribution": distribution_name(settings.distribution),
        "get_records_wait_ms": settings.get_records_wait_ms,
    })
}

/// The settings of a stream as lines of a name and a text.
pub fn as_lines(settings: &StreamSettings) -> Vec<(&'static str, String)> {
    vec![
        ("retention", format!("{} h", settings.retention_hours)),
        ("record max", format!("{} bytes", settings.record_bytes_max)),
        ("durability", settings.durability.to_string()),
        ("mode", mode_text(settings)),
        ("limits", limits_text(settings.limits)),
        ("distribution", distribution_name(settings.distribution).to_owned()),
        ("get wait", wait_text(settings.get_records_wait_ms)),
    ]
}

fn wait_text(ms: u32) -> String {
    if ms == 0 { "none".to_owned() } else { format!("{ms} ms") }
}

const fn mode_name(mode: CapacityMode) -> &'static str {
    match mode {
        CapacityMode::Provisioned => "provisioned",
        CapacityMode::OnDemand { .. } => "on-demand",
    }
}

fn mode_text(settings: &StreamSettings) -> String {
    match settings.mode {
        CapacityMode::Provisioned => "provisioned".to_owned(),
        CapacityMode::OnDemand { shards_min, shards_max } => match settings.warm_throughput_mib {
            0 => format!("on-demand, {shards_min} to {shards_max} shards"),
            warm => format!("on-demand, {shards_min} to {shards_max} shards, ready for {warm} MiB/s"),
        },
    }
}

/// Only what is limited, so that a line stays short.
fn limits_text(limits: StreamLimits) -> String {
    let limits = match limits {
        StreamLimits::None => return "none".to_owned(),
        StreamLimits::Aws => return "aws".to_owned(),
        StreamLimits::Custom(limits) => limits,
    };
    let parts = [
        (limits.write_records_s, format!("{} records/s in", limits.write_records_s)),
        (limits.write_bytes_s, format!("{}/s in", size(limits.write_bytes_s))),
        (limits.read_calls_s, format!("{} gets/s", limits.read_calls_s)),
        (limits.read_bytes_s, format!("{}/s out", size(limits.read_bytes_s))),
        (limits.fanout_bytes_s, format!("{}/s per consumer", size(limits.fanout_bytes_s))),
    ];
    let given: Vec<_> = parts.into_iter().filter(|(number, _)| *number > 0).map(|(_, text)| text).collect();
    format!("custom, per shard {}", if given.is_empty() { "none".to_owned() } else { given.join(", ") })
}

const fn distribution_name(distribution: Distribution) -> &'static str {
    match distribution {
        Distribution::PartitionKey => "key",
        Distribution::Auto => "auto",
    }
}

/// Runs `stream update`: says what was set, as it is then.
pub fn update(args: &StreamUpdateArgs) -> Result<(), Failure> {
    apply(&args.name, &args.settings, args.output, &args.node)
}

/// Runs `stream retention`.
pub fn retention(args: &RetentionArgs) -> Result<(), Failure> {
    let given = Given { retention: Some(args.retention), ..Given::default() };
    apply(&args.name, &given, args.output, &args.node)
}

/// Runs `stream mode`.
pub fn capacity(args: &ModeArgs) -> Result<(), Failure> {
    let given = Given { mode: Some(args.mode), capacity: args.capacity, ..Given::default() };
    apply(&args.name, &given, args.output, &args.node)
}

/// Runs `stream limits`.
pub fn throughput(args: &LimitsCommandArgs) -> Result<(), Failure> {
    let given = Given { limits: Some(args.limits), custom: args.custom, ..Given::default() };
    apply(&args.name, &given, args.output, &args.node)
}

/// Runs `stream distribution`.
pub fn distribution(args: &DistributionArgs) -> Result<(), Failure> {
    let given = Given { distribution: Some(args.by), ..Given::default() };
    apply(&args.name, &given, args.output, &args.node)
}

fn apply(name: &str, given: &Given, output: JsonArg, node: &NodeArgs) -> Result<(), Failure> {
    let (change, settings) = remote::with(node, async |client| {
        let current = match is_partial(given) {
            true => Some(client.describe_stream(name).await.map_err(|error| failure(&error))?.settings),
            false => None,
        };
        let change = change(given, current.as_ref())?;
        let settings = client.update_stream(name, change).await.map_err(|error| failure(&error))?;
        Ok((change, settings))
    })?;
    if output.json {
        let mut line = as_json(&settings);
        line["name"] = json!(name);
        return say(&format!("{line}\n"));
    }
    let was_set = |setting: &str| match setting {
        "retention" => change.retention_hours.is_some(),
        "record max" => change.record_bytes_max.is_some(),
        "durability" => change.durability.is_some(),
        "mode" => change.mode.is_some() || change.warm_throughput_mib.is_some(),
        "limits" => change.limits.is_some(),
        "distribution" => change.distribution.is_some(),
        "get wait" => change.get_records_wait_ms.is_some(),
        other => unreachable!("no setting is called {other}"),
    };
    let lines = as_lines(&settings).into_iter().filter(|(setting, _)| was_set(setting));
    say(&lines.map(|(setting, text)| format!("{name}: {setting} {text}\n")).collect::<String>())
}

/// Runs `stream tags`: changes what is asked, shows what there is then.
pub fn tags(args: &TagsArgs) -> Result<(), Failure> {
    let metadata = remote::with(&args.node, async |client| {
        let result = async {
            if !args.set.is_empty() || !args.remove.is_empty() {
                let remove = args.remove.iter().map(String::as_str).collect();
                client
                    .set_metadata(&args.name, None, MetadataChange::Tags { set: borrowed(&args.set), remove })
                    .await?;
            }
            client.metadata(&args.name, None).await
        };
        result.await.map_err(|error| failure(&error))
    })?;
    if args.output.json {
        return say(&format!("{}\n", json!({"name": args.name, "tags": metadata.tags})));
    }
    let rows: Vec<_> = metadata.tags.into_iter().map(|(key, value)| [key, value]).collect();
    say(&table(["TAG", "VALUE"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Durability;

    fn on_demand(shards_min: u32, shards_max: u32) -> StreamSettings {
        StreamSettings {
            retention_hours: 24,
            record_bytes_max: 1 << 20,
            durability: Durability::Fsync,
            limits: StreamLimits::Custom(CustomLimits { write_records_s: 5, ..CustomLimits::default() }),
            mode: CapacityMode::OnDemand { shards_min, shards_max },
            distribution: Distribution::PartitionKey,
            warm_throughput_mib: 0,
            get_records_wait_ms: 0,
        }
    }

    /// Goal: what is not given of a setting with several numbers keeps its value; begun anew, it is the node's default.
    #[test]
    fn numbers_not_given_stay() {
        let max = CapacityArgs { max: Some(9), ..CapacityArgs::default() };
        let given = Given { mode: Some(ModeKind::OnDemand), capacity: max, ..Given::default() };
        let mode = |given: &Given, current| change(given, current).unwrap().mode;
        let bounds = |shards_min, shards_max| Some(CapacityMode::OnDemand { shards_min, shards_max });
        let current = on_demand(2, 5);
        assert_eq!(mode(&given, None), bounds(0, 9));
        assert_eq!(mode(&given, Some(&current)), bounds(2, 9));
        assert_eq!(mode(&Given { mode: None, ..given }, Some(&current)), bounds(2, 9));
        let bytes = LimitsArgs { write_bytes: Some(7), ..LimitsArgs::default() };
        let given = Given { custom: bytes, ..Given::default() };
        let custom = |write_records_s| {
            let limits = CustomLimits { write_records_s, write_bytes_s: 7, ..CustomLimits::default() };
            Some(StreamLimits::Custom(limits))
        };
        assert_eq!(change(&given, Some(&current)).unwrap().limits, custom(5));
        let given = Given { limits: Some(LimitKind::Custom), ..given };
        assert_eq!(change(&given, None).unwrap().limits, custom(0));
        assert_eq!(change(&Given::default(), None).unwrap(), SettingsChange::NONE);
    }

    /// Goal: numbers that would go unused are refused, as mistakes.
    #[test]
    fn numbers_without_use_are_refused() {
        let numbers = CapacityArgs { warm: Some(1), ..CapacityArgs::default() };
        let limit = LimitsArgs { read_calls: Some(1), ..LimitsArgs::default() };
        let provisioned =
            StreamSettings { mode: CapacityMode::Provisioned, limits: StreamLimits::Aws, ..on_demand(0, 0) };
        let wrong = [
            Given { capacity: numbers, ..Given::default() },
            Given { mode: Some(ModeKind::Provisioned), capacity: numbers, ..Given::default() },
            Given { custom: limit, ..Given::default() },
            Given { limits: Some(LimitKind::Aws), custom: limit, ..Given::default() },
            Given { limits: Some(LimitKind::None), custom: limit, ..Given::default() },
            Given { limits: Some(LimitKind::Custom), ..Given::default() },
        ];
        for given in wrong {
            for current in [None, Some(&provisioned)] {
                assert_eq!(change(&given, current).unwrap_err().exit, Exit::Usage, "{given:?}");
            }
        }
    }
}
