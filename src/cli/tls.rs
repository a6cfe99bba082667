//! HTTPS for the Kinesis API: the certificate that was given, or one of our own.
//!
//! ```text
//! DATA/tls/ca.pem      what clients are told to trust: see `millstream tls trust`
//! DATA/tls/ca.key      signs the next server certificates
//! DATA/tls/server.pem  what the node shows
//! DATA/tls/server.key
//! ```
//!
//! All this is done before the node starts, so its workers never wait for it.

#![expect(
    clippy::disallowed_methods,
    reason = "reads and writes files before the node runs; nothing here runs on a worker"
)]

mod authority;
mod store;
#[cfg(test)]
mod tests;
mod trust;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{self, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::exit::{Exit, Failure};
use crate::config::{Config, TlsMode};
use authority::Pair;

pub use store::is_open_to_others;
pub use trust::{TlsCommand, TrustArgs, run};

const DAY: Duration = Duration::from_secs(86_400);

/// What the node needs to speak TLS on `listen`; `None` where it is turned off. Makes what is missing or runs out.
pub fn prepare(config: &Config, listen: SocketAddr) -> Result<Option<Arc<ServerConfig>>, Failure> {
    let now = now();
    match (&config.kinesis_tls_certificate, &config.kinesis_tls_key, config.kinesis_tls) {
        (Some(certificate), Some(key), _) => given(certificate, key, now).map(Some),
        (_, _, TlsMode::Off) => Ok(None),
        (_, _, TlsMode::Auto) => made(&config.data, listen, now).map(Some),
    }
}

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// The certificate that the settings name.
fn given(certificate: &Path, key: &Path, now: UnixTime) -> Result<Arc<ServerConfig>, Failure> {
    let read = |path: &Path| {
        let cannot = |error| Failure::new(Exit::Usage, format_args!("cannot read {}: {error}", path.display()));
        std::fs::read_to_string(path).map_err(cannot)
    };
    let pair = Pair { certificate: read(certificate)?, key: read(key)? };
    let config = server_config(&pair).map_err(|problem| {
        Failure::new(Exit::Usage, match problem {
            Problem::Certificate(what) => format!("kinesis_tls_certificate {}: {what}", certificate.display()),
            Problem::Key(what) => format!("kinesis_tls_key {}: {what}", key.display()),
            Problem::Mismatch => format!(
                "kinesis_tls_key {} does not belong to the first certificate in {}; the server's own certificate comes first",
                key.display(),
                certificate.display()
            ),
        })
    })?;
    match authority::not_after(&pair.certificate) {
        Some(end) if end < now => {
            tracing::warn!("the certificate in {} has expired: clients will refuse it", certificate.display());
        }
        Some(end) if end.as_secs() < (now.as_secs() + authority::RENEW_BEFORE.as_secs()) => {
            let days = (end.as_secs() - now.as_secs()) / DAY.as_secs();
            tracing::warn!("the certificate in {} expires in {days} days", certificate.display());
        }
        _ => {}
    }
    if is_open_to_others(key) {
        tracing::warn!(
            "{} can be read by every user of this machine; it holds a private key: chmod 600",
            key.display()
        );
    }
    Ok(config)
}

/// The certificate in the data directory.
fn made(data: &Path, listen: SocketAddr, now: UnixTime) -> Result<Arc<ServerConfig>, Failure> {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let names = names(hostname.trim(), listen.ip());
    let pair = store::keep(&data.join(store::DIR), &names, now).map_err(|error| Failure::new(Exit::Failure, error))?;
    server_config(&pair).map_err(|problem| {
        Failure::new(Exit::Failure, format_args!("the certificate in {} cannot be used: {problem:?}", data.display()))
    })
}

/// What clients on this machine and beyond may call the node.
fn names(hostname: &str, listen: IpAddr) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(is_fine)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if hostname.len() <= 253 && hostname.split('.').all(is_label) {
        names.push(hostname.to_ascii_lowercase());
    }
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    let mut distinct: Vec<String> = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

/// Why a certificate and a key cannot be used.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    Certificate(String),
    Key(String),
    Mismatch,
}

/// What is offered in the handshake: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. Clients that say nothing of HTTP are told apart
/// by their first bytes.
fn server_config(pair: &Pair) -> Result<Arc<ServerConfig>, Problem> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect();
    let chain = chain.map_err(|error| Problem::Certificate(format!("not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(Problem::Certificate("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|error| {
        Problem::Key(match error {
            rustls_pki_types::pem::Error::NoItemsFound => {
                "holds no private key in PEM (-----BEGIN PRIVATE KEY-----), or an encrypted one".to_owned()
            }
            other => format!("not PEM: {other}"),
        })
    })?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Problem::Mismatch,
        rustls::Error::InvalidCertificate(error) => Problem::Certificate(format!("no certificate: {error}")),
        other => Problem::Key(format!("cannot be used: {other}")),
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Sessions go on by what the client brings, on whichever worker it lands, rather than by a memory behind one lock.
    config.ticketer = ring::Ticketer::new().map_err(|error| Problem::Key(format!("no random numbers: {error}")))?;
    Ok(Arc::new(config))
}
