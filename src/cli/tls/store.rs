//! The certificates in the data directory: read, made where they are missing, renewed before they run out.
//!
//! Each file is written whole, under another name, synced, and renamed to its place; then the directory is synced. A key
//! is in its place before the certificate that belongs to it. A crash in between leaves
//!
//! 1. a CA's key without a certificate: the next start makes the certificate for that key;
//! 2. a new server key beside an old certificate: they do not belong together, so the next start makes both anew.

#![expect(
    clippy::disallowed_methods,
    reason = "reads and writes files before the node runs; nothing here runs on a worker"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls_pki_types::UnixTime;
use thiserror::Error;

use super::authority::{self, Pair, RENEW_BEFORE};
use super::{DAY, server_config};

/// The directory in the data directory.
pub const DIR: &str = "tls";

/// What clients are to trust.
pub const CA_CERTIFICATE: &str = "ca.pem";

const CA_KEY: &str = "ca.key";

const SERVER_CERTIFICATE: &str = "server.pem";

const SERVER_KEY: &str = "server.key";

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
    /// The CA's key is needed and is not there.
    #[error(
        "{} is missing, and a new server certificate is due; put the key back, or remove {} to have a new CA made",
        key.display(), certificate.display()
    )]
    NoCaKey {
        /// The key.
        key: PathBuf,
        /// The certificate it belongs to.
        certificate: PathBuf,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate with the key in {}: {error}", path.display())]
    Make {
        /// The key.
        path: PathBuf,
        /// Why not.
        error: rcgen::Error,
    },
}

/// The server's certificate and key in `dir`, good for `names` for a while yet.
pub fn keep(dir: &Path, names: &[String], now: UnixTime) -> Result<Pair, StoreError> {
    create_dir(dir)?;
    let soon = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + RENEW_BEFORE);
    let ca = keep_ca(dir, now, soon)?;
    let [certificate_path, key_path] = [SERVER_CERTIFICATE, SERVER_KEY].map(|name| dir.join(name));
    if let (Some(certificate), Some(key)) = (read(&certificate_path)?, read(&key_path)?) {
        let pair = Pair { certificate, key };
        if authority::is_good(&ca, &pair.certificate, names, soon) && server_config(&pair).is_ok() {
            return Ok(pair);
        }
    }
    let ca_key_path = dir.join(CA_KEY);
    let Some(ca_key) = read(&ca_key_path)? else {
        return Err(StoreError::NoCaKey { key: ca_key_path, certificate: dir.join(CA_CERTIFICATE) });
    };
    let pair = authority::issue(&ca_key, names, now).map_err(|error| StoreError::Make { path: ca_key_path, error })?;
    write(dir, SERVER_KEY, &pair.key, 0o600)?;
    write(dir, SERVER_CERTIFICATE, &pair.certificate, 0o644)?;
    let days = (authority::SERVER_LIFE - DAY).as_secs() / DAY.as_secs();
    tracing::info!(names = names.join(", "), days, "made a certificate: {}", certificate_path.display());
    Ok(pair)
}

/// The CA's certificate.
fn keep_ca(dir: &Path, now: UnixTime, soon: UnixTime) -> Result<String, StoreError> {
    let (certificate_path, key_path) = (dir.join(CA_CERTIFICATE), dir.join(CA_KEY));
    let old = read(&certificate_path)?;
    if let Some(certificate) = &old {
        if authority::not_after(certificate).is_some_and(|end| end > soon) {
            return Ok(certificate.clone());
        }
        tracing::warn!("the CA in {} runs out and is replaced: clients must trust the new one", dir.display());
    }
    let make = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::Make { path, error }
    };
    // A CA that is replaced gets a new key, and with it a new name. A key without a certificate is what a crash has left.
    let key = match read(&key_path)?.filter(|_| old.is_none()) {
        Some(key) => key,
        None => {
            let key = authority::new_key().map_err(make(&key_path))?;
            write(dir, CA_KEY, &key, 0o600)?;
            key
        }
    };
    let ca = authority::new_ca(&key, now).map_err(make(&key_path))?;
    write(dir, CA_CERTIFICATE, &ca.certificate, 0o644)?;
    tracing::info!("made a CA; `millstream tls trust` says how clients trust it: {}", certificate_path.display());
    Ok(ca.certificate)
}

/// Whether users besides the owner and the group can read the file.
pub fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::Io { what, path, error }
}

fn create_dir(dir: &Path) -> Result<(), StoreError> {
    match fs::create_dir(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(failed("create", dir)(error)),
    }
    sync_dir(dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// The text of a file; `None` if there is no such file.
fn read(path: &Path) -> Result<Option<String>, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Puts a file in its place. When it returns the file is durable; a crash before leaves the old one.
fn write(dir: &Path, name: &str, text: &str, mode: u32) -> Result<(), StoreError> {
    let (temporary, path) = (dir.join(format!("{name}.new")), dir.join(name));
    // What a crash has left may have other permissions.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("remove", &temporary)(error)),
        _ => {}
    }
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().map_err(failed("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(failed("rename to", &path))?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}
