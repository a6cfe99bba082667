//! Certificates of our own: a CA that clients trust, and what it signs. Pure but for random numbers; time is given.

use std::sync::Arc;
use std::time::Duration;

use futures_rustls::rustls::client::WebPkiServerVerifier;
use futures_rustls::rustls::client::danger::ServerCertVerifier;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{self, CertificateError, RootCertStore};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::DAY;

/// Life of a CA: 10 years.
pub const CA_LIFE: Duration = Duration::from_secs(3_653 * DAY.as_secs());

/// Life of a server certificate, from one day before it is made: longer ones are refused by some clients.
pub const SERVER_LIFE: Duration = Duration::from_secs(397 * DAY.as_secs());

/// A certificate is renewed when it has less than this left.
pub const RENEW_BEFORE: Duration = Duration::from_secs(30 * DAY.as_secs());

/// A certificate with its private key, both in PEM. The key does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, or a chain of them with the server's own first.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// A new private key.
pub fn new_key() -> Result<String, rcgen::Error> {
    KeyPair::generate().map(|key| key.serialize_pem())
}

/// The certificate of a CA with this key, by itself.
pub fn new_ca(key: &str, now: UnixTime) -> Result<Pair, rcgen::Error> {
    let key = KeyPair::from_pem(key)?;
    let certificate = ca_params(&key, now)?.self_signed(&key)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}

/// What the CA with this key is called and may do. Its name is made from its key, so that the CAs of several nodes can be
/// trusted side by side, and so that what a CA signs can name it without reading its certificate.
fn ca_params(key: &KeyPair, now: UnixTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let id: String = params.key_identifier(key).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, format!("Millstream CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params, now, CA_LIFE);
    Ok(params)
}

/// A server certificate for these names, with a new key, signed by the CA with this key.
pub fn issue(ca_key: &str, names: &[String], now: UnixTime) -> Result<Pair, rcgen::Error> {
    let ca_key = KeyPair::from_pem(ca_key)?;
    let issuer = Issuer::new(ca_params(&ca_key, now)?, ca_key);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "Millstream node");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_life(&mut params, now, SERVER_LIFE);
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}

/// From a day ago, for clients whose clocks are behind.
fn set_life(params: &mut CertificateParams, now: UnixTime, life: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.as_secs()).saturating_sub(DAY);
    params.not_after = params.not_before + life;
}

/// Whether the first certificate in `server` is signed by `ca`, and good for each of the names, at `time`.
pub fn is_good(ca: &str, server: &str, names: &[String], time: UnixTime) -> bool {
    let (Some(ca), Some(server)) = (first(ca), first(server)) else { return false };
    names.iter().all(|name| verify(&ca, &server, name, time).is_ok())
}

/// When the first certificate of a PEM file ends; `None` if there is none.
pub fn not_after(certificate: &str) -> Option<UnixTime> {
    let certificate = first(certificate)?;
    // Asked about the end of time, the verifier says since when it has been over. It looks at that before anything else.
    let end_of_time = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
    match verify(&certificate, &certificate, "localhost", end_of_time) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => Some(not_after),
        _ => None,
    }
}

fn first(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

/// Verifies as a client would.
fn verify(ca: &CertificateDer<'_>, server: &CertificateDer<'_>, name: &str, at: UnixTime) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone().into_owned())?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
    let name = ServerName::try_from(name).map_err(|error| rustls::Error::General(error.to_string()))?;
    verifier.verify_server_cert(server, &[], &name, &[], at).map(|_| ())
}
