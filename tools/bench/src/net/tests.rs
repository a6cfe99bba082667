use clap::Parser;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: NetArgs,
}

fn args(more: &[&str]) -> NetArgs {
    Command::parse_from(["net"].iter().chain(more)).args
}

/// Goal: over loopback every row is measured, the figures agree with each other, and the JSON holds what was returned.
#[test]
fn measures_loopback() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("net.json");
    let more = ["--seconds", "0.05", "--messages", "1,1KiB", "--writes", "64KiB", "--json", json.to_str().unwrap()];
    let report = run(&args(&more)).unwrap();
    assert_eq!(report.placement, "same machine, loopback");
    let sizes: Vec<_> = report.round_trips.iter().map(|row| row.message_bytes).collect();
    assert_eq!(sizes, [1, 1024]);
    for row in &report.round_trips {
        assert!(row.latency.count > 0 && row.per_second > 0.0, "{row:?}");
        // One at a time: as many per second as the mean allows, and not more.
        assert!(row.per_second <= 1e9 / row.latency.mean_ns * 1.01, "{row:?}");
    }
    let directions: Vec<_> = report.bandwidth.iter().map(|row| row.direction).collect();
    assert_eq!(directions, [Direction::Up, Direction::Down]);
    for row in &report.bandwidth {
        assert!(row.bytes > 0 && row.bytes.is_multiple_of(64 << 10), "whole writes arrive: {row:?}");
    }
    let read: NetReport = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(read, report);
    let text = report.render();
    assert_eq!((text.matches("\nsockperf").count(), text.matches("\niperf3").count()), (2, 2));
}

/// Goal: a server measures on, whatever one client sent it: garbage, sizes beyond the limit, an early end.
#[test]
fn a_server_survives_bad_clients() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || serve(&listener));
    let huge = Order { job: Job::Echo, bytes: u32::MAX, millis: 0 };
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &huge.encode(), b"MS"] {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Closed without an answer. A reset is one way to close.
        assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
    }
    let connect = addr.to_string();
    let report = run(&args(&["--seconds", "0.02", "--connect", &connect])).unwrap();
    assert_eq!((report.round_trips.len(), report.bandwidth.len()), (3, 6));
}

/// Goal: an order survives the wire, and what is none is refused.
#[test]
fn orders() {
    for job in [Job::Echo, Job::Sink, Job::Source] {
        let order = Order { job, bytes: 64, millis: 2_000 };
        assert_eq!(Order::decode(order.encode()).unwrap(), order);
    }
    let good = Order { job: Job::Source, bytes: 1, millis: 0 };
    assert_eq!(&good.encode()[..4], b"MSBN");
    let wrong = [Order { bytes: 0, ..good }, Order { bytes: SIZE_MAX + 1, ..good }, Order { millis: u32::MAX, ..good }];
    for order in wrong {
        assert_eq!(Order::decode(order.encode()).unwrap_err().kind(), io::ErrorKind::InvalidData, "{order:?}");
    }
    for at in [0, 4] {
        let mut bytes = good.encode();
        bytes[at] ^= 0x40;
        assert!(Order::decode(bytes).is_err(), "byte {at}");
    }
}

/// Goal: nobody at the other end is an error that names the address.
#[test]
fn nobody_there() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = run(&args(&["--connect", &addr.to_string()])).unwrap_err().to_string();
    assert!(error.contains(&addr.to_string()), "{error}");
}
