//! From settings to what the node wants to know about the Kinesis API.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::exit::{Exit, Failure};
use super::{access_keys, node, tls};
use crate::config::Config;
use crate::kinesis::access::Keys;
use crate::server::node::KinesisOptions;

/// Reads the files that the settings name. `settle` finds a free port where none is named.
pub fn prepare(
    config: &Config,
    settle: impl FnOnce(SocketAddr) -> Result<SocketAddr, Failure>,
) -> Result<Option<KinesisOptions>, Failure> {
    let Some(listen) = config.kinesis_listen else { return Ok(None) };
    let keys = match &config.kinesis_keys_file {
        Some(path) => Some(Arc::new(read_keys(path)?)),
        None => None,
    };
    let listen = settle(listen)?;
    Ok(Some(KinesisOptions {
        listen,
        region: config.kinesis_region.to_string(),
        account: config.kinesis_account.to_string(),
        status_delay_ms: config.kinesis_status_delay.0.into(),
        keys,
        tls: tls::prepare(config, listen)?,
    }))
}

/// Reads a file of access keys, and warns if others can read it too.
fn read_keys(path: &Path) -> Result<Keys, Failure> {
    let text = node::read_text(path)?;
    let keys = access_keys::parse(path, &text).map_err(|mistakes| Failure { exit: Exit::Usage, messages: mistakes })?;
    if tls::is_open_to_others(path) {
        tracing::warn!("{} can be read by every user of this machine; it holds secrets: chmod 600", path.display());
    }
    Ok(keys)
}

/// One line for the operator: what is spoken, and who may call.
pub fn describe(options: &KinesisOptions) -> String {
    let spoken = if options.tls.is_some() { "HTTP and HTTPS" } else { "HTTP" };
    let signatures = match &options.keys {
        None => "accepted unverified".to_owned(),
        Some(keys) if keys.len() == 1 => "verified for 1 key".to_owned(),
        Some(keys) => format!("verified for {} keys", keys.len()),
    };
    format!("{} (Kinesis API, {spoken}; signatures: {signatures})", options.listen)
}
