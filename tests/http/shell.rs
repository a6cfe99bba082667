//! The real shell: sockets, TLS, clients that are not ours.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "clients of the node live outside it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use futures_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned, crypto::ring, version,
};
use http::request::Parts;
use millstream::runtime::glommio::GlommioRuntime;
use millstream::runtime::glommio::launch::{LaunchOptions, join_all, launch};
use millstream::runtime::{Listener, Reactor, Runtime};
use millstream::server::http::{Front, Turns};
use millstream::server::worker::Worker;

use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, headers};
use crate::world::{Probe, handle, pattern, post, worker};

/// Executors lock memory, and the default limit is small: one test at a time has them.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A certificate for `localhost`, and who trusts it.
fn certificate() -> (Arc<ServerConfig>, RootCertStore, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = config.with_single_cert(vec![certificate.clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    (Arc::new(config), roots, made.cert.pem())
}

/// Runs `test` against a front end on a real worker, which then has to end in order.
fn with_front(tls: Option<Arc<ServerConfig>>, test: impl FnOnce(SocketAddr)) {
    let _guard = one_at_a_time();
    let stop = Arc::new(AtomicBool::new(false));
    let (ready, addr) = mpsc::channel();
    let told = Arc::clone(&stop);
    let serve = move |rt: GlommioRuntime| async move {
        let worker = worker(&rt);
        let probe: Rc<Probe> = Rc::default();
        probe.go();
        let handler = async move |worker: &Rc<Worker<GlommioRuntime>>, parts: Parts, body: Bytes, turns: &Turns| {
            handle(&probe, worker, parts, body, turns).await
        };
        let listener = rt.listen(([127, 0, 0, 1], 0).into(), true).unwrap();
        ready.send(listener.local_addr().unwrap()).unwrap();
        Front::start(&worker, tls, handler).listen(listener);
        while !told.load(Ordering::Relaxed) {
            rt.sleep(Duration::from_millis(5)).await;
        }
        worker.drain();
        for _ in 0..1_000 {
            if worker.connections.get() == 0 {
                return true;
            }
            rt.sleep(Duration::from_millis(5)).await;
        }
        false
    };
    let options = LaunchOptions { cpus: vec![0], ..LaunchOptions::default() };
    let running = launch(&options, vec![serve]).unwrap();
    let addr = addr.recv().unwrap();
    // Ends the worker also when the test fails.
    let outcome = catch_unwind(AssertUnwindSafe(|| test(addr)));
    stop.store(true, Ordering::Relaxed);
    let ended = join_all(running, || {});
    outcome.unwrap_or_else(|panic| resume_unwind(panic));
    assert!(ended.into_iter().all(|result| result.unwrap()), "connections were still there in the end");
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn tls(
    addr: SocketAddr,
    roots: &RootCertStore,
    alpn: &[&str],
    only_12: bool,
) -> StreamOwned<ClientConnection, TcpStream> {
    let versions = if only_12 { &[&version::TLS12][..] } else { &[&version::TLS13, &version::TLS12][..] };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots.clone()).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), connect(addr))
}

/// Reads one answer of HTTP/1.1 and gives its body.
fn answer(stream: &mut impl Read) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; len.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    body
}

/// Speaks HTTP/2 with prior knowledge: posts a body, gives back what is echoed.
fn speak_http2(stream: &mut (impl Read + Write), body: &[u8]) -> Vec<u8> {
    let mut out = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    out.extend(headers(1, "POST", "/echo", &[("content-length", &body.len().to_string())], 0));
    let mut parts = body.chunks(16 << 10).peekable();
    while let Some(part) = parts.next() {
        out.extend(frame(DATA, if parts.peek().is_none() { END_STREAM } else { 0 }, 1, part));
    }
    stream.write_all(&out).unwrap();
    stream.flush().unwrap();
    let (mut echoed, mut acks) = (Vec::new(), 0);
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).unwrap();
        match (head[3], head[4]) {
            (SETTINGS, 1) => acks += 1,
            (SETTINGS, _) => stream.write_all(&frame(SETTINGS, 1, 0, &[])).unwrap(),
            (HEADERS, flags) => assert_eq!((flags & END_HEADERS, payload[0]), (END_HEADERS, 0x88), "status 200"),
            (DATA, flags) => {
                echoed.extend(payload);
                if flags & END_STREAM != 0 {
                    assert_eq!(acks, 1);
                    return echoed;
                }
            }
            _ => {}
        }
    }
}

/// Goal: over real sockets, plain text: HTTP/1.1 and HTTP/2 with prior knowledge on one port.
#[test]
fn plain() {
    with_front(None, |addr| {
        let mut stream = connect(addr);
        for len in [0, 1, 100_000, 14 << 20] {
            let body = pattern(len);
            stream.write_all(&post("/echo", &body)).unwrap();
            assert!(answer(&mut stream) == body, "{len} bytes");
        }
        let body = pattern(60_000);
        assert!(speak_http2(&mut connect(addr), &body) == body);
        // Left half-open: they do not keep the worker from ending.
        std::mem::forget(stream);
        let mut begun = connect(addr);
        begun.write_all(b"POST /").unwrap();
        std::mem::forget(begun);
    });
}

/// Goal: inside TLS 1.3 and 1.2, both versions of HTTP are spoken, whatever the client offers in the handshake: what it agreed
/// on, or nothing, as the Java SDK does; plain text still is, on the same port.
#[test]
fn inside_tls() {
    let (config, roots, _) = certificate();
    with_front(Some(config), |addr| {
        for only_12 in [false, true] {
            for alpn in [&["http/1.1"][..], &["h2", "http/1.1"], &[]] {
                let body = pattern(3 << 20);
                let mut stream = tls(addr, &roots, alpn, only_12);
                stream.write_all(&post("/echo", &body)).unwrap();
                assert!(answer(&mut stream) == body, "HTTP/1.1 with {alpn:?}");
                stream.write_all(&post("/len", b"again")).unwrap();
                assert_eq!(answer(&mut stream), b"5 5");
                let mut stream = tls(addr, &roots, alpn, only_12);
                assert!(speak_http2(&mut stream, &body[..60_000]) == body[..60_000], "HTTP/2 with {alpn:?}");
            }
        }
        let mut stream = connect(addr);
        stream.write_all(&post("/echo", b"plain")).unwrap();
        assert_eq!(answer(&mut stream), b"plain");
    });
}

/// Goal: handshakes that go wrong end the connection and nothing else: garbage, a client that trusts nobody, one that stops
/// half-way, one that closes without a word.
#[test]
fn broken_handshakes() {
    let (config, roots, _) = certificate();
    with_front(Some(config), |addr| {
        let mut garbage = connect(addr);
        garbage.write_all(&[0x16; 300]).unwrap();
        let mut alert = Vec::new();
        garbage.read_to_end(&mut alert).unwrap();
        assert_eq!(alert.first(), Some(&0x15), "an alert says why: {alert:?}");
        let mut distrustful = tls(addr, &RootCertStore::empty(), &[], false);
        distrustful.write_all(b"x").unwrap_err();
        let mut half = connect(addr);
        half.write_all(&[0x16, 3, 1, 2]).unwrap();
        let mut silent = tls(addr, &roots, &[], false);
        silent.write_all(b"P").unwrap();
        silent.sock.shutdown(std::net::Shutdown::Both).unwrap();
        let mut good = tls(addr, &roots, &[], false);
        good.write_all(&post("/echo", b"good")).unwrap();
        assert_eq!(answer(&mut good), b"good");
        std::mem::forget(half);
    });
}

/// Goal: a client that is not ours, Python's, is content: keep-alive, chunked bodies, events, over HTTP and over HTTPS with a
/// certificate that it checks.
#[test]
fn python() {
    const SCRIPT: &str = "
import http.client, ssl, sys
port, ca = int(sys.argv[1]), sys.argv[2]
plain = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
secure = http.client.HTTPSConnection('localhost', port, timeout=20, context=ssl.create_default_context(cafile=ca))
for connection in (plain, secure):
    for body in (b'', b'x' * 10, b'y' * 2000000):
        connection.request('POST', '/echo', body=body, headers={'Content-Type': 'application/x-amz-json-1.1'})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, body)
        assert answer.headers['Date'].endswith(' GMT'), answer.headers
    connection.request('POST', '/echo', body=(b'z' * 70000 for _ in range(5)), encode_chunked=True)
    assert connection.getresponse().read() == b'z' * 350000
    connection.request('HEAD', '/big/100')
    answer = connection.getresponse()
    assert (answer.headers['Content-Length'], answer.read()) == ('100', b'')
    connection.request('POST', '/stream')
    answer = connection.getresponse()
    assert answer.read(30) == b'event    0event    1event    2'
    connection.close()
print('content')
";
    let (config, _, pem) = certificate();
    let scratch = tempfile::tempdir().unwrap();
    let ca = scratch.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    with_front(Some(config), |addr| {
        let mut command = Command::new("python3");
        command.args(["-c", SCRIPT, &addr.port().to_string()]).arg(&ca);
        let output = command.stdin(Stdio::null()).output().expect("python3 is there");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), "content", "{}", String::from_utf8_lossy(&output.stderr));
    });
}
