use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use futures_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use rustls_pki_types::ServerName;

use super::*;

const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_795_780_522));

fn after_days(days: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW.as_secs()) + Duration::from_secs(days * DAY.as_secs()))
}

fn local() -> Vec<String> {
    names("box.example", IpAddr::from([10, 0, 0, 7]))
}

/// The texts of all files of the store, by name.
fn files(dir: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// A handshake in memory with a client that trusts `ca` and calls the server `name`: the protocol agreed on.
fn handshake(server: &Arc<ServerConfig>, ca: &str, name: &str, alpn: &[&str]) -> Result<Option<Vec<u8>>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let mut wire = Vec::new();
    for _ in 0..10 {
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        while !wire.is_empty() {
            let taken = server.read_tls(&mut wire.as_slice()).unwrap();
            wire.drain(..taken);
            server.process_new_packets().map_err(|error| error.to_string())?;
        }
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        while !wire.is_empty() {
            let taken = client.read_tls(&mut wire.as_slice()).unwrap();
            wire.drain(..taken);
            client.process_new_packets().map_err(|error| error.to_string())?;
        }
    }
    client.writer().write_all(b"ping").unwrap();
    client.write_tls(&mut wire).unwrap();
    server.read_tls(&mut wire.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    let mut got = [0; 4];
    server.reader().read_exact(&mut got).unwrap();
    assert_eq!(&got, b"ping");
    Ok(server.alpn_protocol().map(<[u8]>::to_vec))
}

/// Goal: the first start makes a CA and a certificate with which clients connect under every name, with and without ALPN;
/// keys are for their owner alone; the next start changes nothing.
#[test]
fn a_certificate_is_made_and_kept() {
    let data = tempfile::tempdir().unwrap();
    let dir = data.path().join(store::DIR);
    // The client's clock is the real one.
    let now = super::now();
    let pair = store::keep(&dir, &local(), now).unwrap();
    let made = files(&dir);
    let names: Vec<_> = made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ca.key", "ca.pem", "server.key", "server.pem"]);
    for (name, mode) in [("ca.key", 0o600), ("server.key", 0o600), ("ca.pem", 0o644)] {
        assert_eq!(fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    let config = server_config(&pair).unwrap();
    let ca = &made[1].1;
    for name in ["localhost", "127.0.0.1", "::1", "box.example", "10.0.0.7"] {
        assert_eq!(handshake(&config, ca, name, &[]), Ok(None), "{name}");
    }
    assert!(handshake(&config, ca, "elsewhere.example", &[]).is_err());
    assert_eq!(handshake(&config, ca, "localhost", &["http/1.1", "h2"]), Ok(Some(b"h2".to_vec())));
    assert_eq!(handshake(&config, ca, "localhost", &["http/1.1"]), Ok(Some(b"http/1.1".to_vec())));

    assert_eq!(store::keep(&dir, &local(), now).unwrap(), pair);
    assert_eq!(files(&dir), made);
}

/// Goal: the server's certificate is renewed 30 days before its end and for new names, under the same CA; the CA 30 days
/// before its own, with a new key.
#[test]
fn certificates_are_renewed() {
    let data = tempfile::tempdir().unwrap();
    let dir = data.path().join(store::DIR);
    let first = store::keep(&dir, &local(), NOW).unwrap();
    let ca = files(&dir)[1].1.clone();
    assert_eq!(authority::not_after(&first.certificate), Some(after_days(396)));
    assert_eq!(authority::not_after(&ca), Some(after_days(3_652)));
    assert!(authority::not_after("").is_none());

    assert_eq!(store::keep(&dir, &local(), after_days(365)).unwrap(), first);
    let second = store::keep(&dir, &local(), after_days(367)).unwrap();
    assert_ne!(second, first);
    assert_eq!(authority::not_after(&second.certificate), Some(after_days(367 + 396)));

    let more: Vec<_> = local().into_iter().chain(["more.example".to_owned()]).collect();
    let third = store::keep(&dir, &more, after_days(367)).unwrap();
    assert_ne!(third, second);
    // Fewer names are no reason.
    assert_eq!(store::keep(&dir, &local(), after_days(367)).unwrap(), third);
    assert_eq!(files(&dir)[1].1, ca);

    let old_key = files(&dir)[0].1.clone();
    let fourth = store::keep(&dir, &local(), after_days(3_630)).unwrap();
    assert_ne!(files(&dir)[1].1, ca);
    assert_ne!(files(&dir)[0].1, old_key);
    assert!(authority::is_good(&files(&dir)[1].1, &fourth.certificate, &local(), after_days(3_640)));
}

/// Goal: whatever a crash leaves, or somebody takes away, the next start has a pair that works, or says what is missing.
#[test]
fn half_made_stores_are_mended() {
    let names = local();
    let works = |dir: &Path, pair: &Pair| {
        assert!(server_config(pair).is_ok());
        assert!(authority::is_good(&fs::read_to_string(dir.join("ca.pem")).unwrap(), &pair.certificate, &names, NOW));
    };
    for missing in ["ca.pem", "server.pem", "server.key", "ca.pem server.pem server.key", "ca.pem ca.key"] {
        let data = tempfile::tempdir().unwrap();
        let dir = data.path().join(store::DIR);
        store::keep(&dir, &names, NOW).unwrap();
        let ca_key = fs::read_to_string(dir.join("ca.key")).unwrap();
        for name in missing.split(' ') {
            fs::remove_file(dir.join(name)).unwrap();
        }
        let pair = store::keep(&dir, &names, NOW).unwrap();
        works(&dir, &pair);
        assert_eq!(fs::read_to_string(dir.join("ca.key")).unwrap() == ca_key, !missing.contains("ca.key"), "{missing}");
    }
    let data = tempfile::tempdir().unwrap();
    let dir = data.path().join(store::DIR);
    let pair = store::keep(&dir, &names, NOW).unwrap();
    // A new key whose certificate did not make it, beside what was not yet renamed.
    fs::write(dir.join("server.key"), authority::new_key().unwrap()).unwrap();
    fs::write(dir.join("server.pem.new"), "half").unwrap();
    let mended = store::keep(&dir, &names, NOW).unwrap();
    assert_ne!(mended, pair);
    works(&dir, &mended);
    // The CA's key is only needed to sign.
    fs::remove_file(dir.join("ca.key")).unwrap();
    assert_eq!(store::keep(&dir, &names, NOW).unwrap(), mended);
    let error = store::keep(&dir, &names, after_days(390)).unwrap_err().to_string();
    assert!(error.contains("ca.key is missing, and a new server certificate is due"), "{error}");
}

/// Goal: given files are taken if they fit each other, and refused with what is wrong with which of them.
#[test]
fn given_files_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let key = authority::new_key().unwrap();
    let good = authority::issue(&key, &local(), super::now()).unwrap();
    let other = authority::issue(&key, &local(), super::now()).unwrap();
    let expired =
        authority::issue(&key, &local(), UnixTime::since_unix_epoch(Duration::from_secs(1_000_000_000))).unwrap();
    let (certificate_path, key_path) = (dir.path().join("c.pem"), dir.path().join("k.pem"));
    let load = |certificate: &str, key: &str| {
        fs::write(&certificate_path, certificate).unwrap();
        fs::write(&key_path, key).unwrap();
        given(&certificate_path, &key_path, super::now()).map(|_| ()).map_err(|failure| {
            assert_eq!(failure.exit, Exit::Usage);
            failure.messages.join("\n").replace(&dir.path().display().to_string(), "DIR")
        })
    };
    assert_eq!(load(&good.certificate, &good.key), Ok(()));
    // Clients refuse it, and it is their business.
    assert_eq!(load(&expired.certificate, &expired.key), Ok(()));
    let message = load(&good.certificate, &other.key).unwrap_err();
    assert!(
        message.starts_with("kinesis_tls_key DIR/k.pem does not belong to the first certificate in DIR/c.pem"),
        "{message}"
    );
    let message = load(&good.key, &good.key).unwrap_err();
    assert!(message.starts_with("kinesis_tls_certificate DIR/c.pem: holds no certificate in PEM"), "{message}");
    let message = load(&good.certificate, &good.certificate).unwrap_err();
    assert!(message.starts_with("kinesis_tls_key DIR/k.pem: holds no private key in PEM"), "{message}");
    assert!(load("-----BEGIN CERTIFICATE-----\nAAAA\n", &good.key).is_err());
    assert!(load("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &good.key).is_err());
    fs::remove_file(&key_path).unwrap();
    let failure = given(&certificate_path, &key_path, super::now()).unwrap_err();
    assert!(failure.messages[0].starts_with("cannot read "), "{failure:?}");
}

/// Goal: the machine's name is taken if it can stand in a certificate, the address if it is one; nothing twice.
#[test]
fn names_are_those_that_work() {
    let base = ["localhost", "127.0.0.1", "::1"];
    let with = |hostname: &str, listen: [u8; 4]| names(hostname, IpAddr::from(listen))[3..].join(" ");
    assert_eq!(names("", IpAddr::from([127, 0, 0, 1])), base);
    assert_eq!(with("Box-1.Example", [10, 0, 0, 7]), "box-1.example 10.0.0.7");
    assert_eq!(with("localhost", [0, 0, 0, 0]), "");
    for odd in ["a b", "-a", "a-", "a..b", "ü", &"x".repeat(64), &"x.".repeat(200)] {
        assert_eq!(with(odd, [127, 0, 0, 1]), "", "{odd}");
    }
}
