//! The workloads that come with the tool. Each is a file in `presets/`, to be read and copied.

use anyhow::{Context, Result};

use super::Workload;

/// The presets: name and text.
pub const PRESETS: [(&str, &str); 10] = [
    ("smoke", include_str!("../../presets/smoke.toml")),
    ("latency", include_str!("../../presets/latency.toml")),
    ("throughput", include_str!("../../presets/throughput.toml")),
    ("fan-out-20", include_str!("../../presets/fan-out-20.toml")),
    ("hot-shard", include_str!("../../presets/hot-shard.toml")),
    ("catch-up", include_str!("../../presets/catch-up.toml")),
    ("large-records", include_str!("../../presets/large-records.toml")),
    ("restart", include_str!("../../presets/restart.toml")),
    ("soak", include_str!("../../presets/soak.toml")),
    ("mixed", include_str!("../../presets/mixed.toml")),
];

/// The preset with this name.
pub fn preset(name: &str) -> Result<Workload> {
    let names = || PRESETS.map(|(name, _)| name).join(", ");
    let (_, text) = PRESETS
        .iter()
        .find(|(known, _)| *known == name)
        .with_context(|| format!("no preset `{name}`; there are {}", names()))?;
    Workload::from_toml(text).with_context(|| format!("preset `{name}`"))
}
