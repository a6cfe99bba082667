//! A node of one worker, as the gates run it.

use std::path::PathBuf;

use millstream::catalog::Settings;
use millstream::engine::env::Tuning;
use millstream::server::node::{DiskLimit, DiskLimits, KinesisOptions, Options};

use crate::load::{Addresses, Load};

/// The settings of a node for one kind of load.
#[must_use]
pub fn options(data: PathBuf, listen: Addresses, load: Load) -> Options {
    let tail_bytes_max = match load {
        // Room for the last flush only.
        Load::GetCold => 32 << 10,
        _ => Tuning::default().tail_bytes_max,
    };
    let percent = DiskLimit::Percent;
    Options {
        data,
        listen: listen.native,
        direct_ports: Vec::new(),
        token: None,
        stream_defaults: Settings::default(),
        disk: DiskLimits { warn: percent(3), slow: percent(2), refuse: percent(1) },
        tuning: Tuning { tail_bytes_max, ..Tuning::default() },
        kinesis: Some(KinesisOptions {
            listen: listen.kinesis,
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            status_delay_ms: 0,
            keys: None,
            tls: None,
        }),
    }
}
