//! The driver against a small endpoint in the same process: it keeps records in memory and can be told to misbehave.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::events::tests::message;
use super::messages::{shard_id, shard_number};
use super::*;
use crate::driver::{Consumer, Outgoing, Producer, Received, Sent};
use crate::units::{Size, Time};
use crate::workload::ReadMode;

/// What the endpoint does in place of its work.
#[derive(Clone, Debug, PartialEq)]
enum Mischief {
    /// Refuses every n-th record of a PutRecords.
    RefuseEvery(usize),
    /// Answers with this status and exception.
    Answer(u16, &'static str),
    /// Answers with this body.
    Body(&'static str),
    /// Closes the connection without an answer.
    HangUp,
    /// Answers with one result too few.
    Forget,
}

#[derive(Default)]
struct Endpoint {
    /// Records of each shard: key and data in base64.
    shards: RefCell<Vec<Vec<(String, String)>>>,
    status: RefCell<Option<&'static str>>,
    /// What happens to the next requests of an operation.
    mischief: RefCell<BTreeMap<&'static str, Vec<Mischief>>>,
    /// Requests by operation.
    seen: RefCell<Vec<(String, Value)>>,
    connections: Cell<u32>,
    under_way: Cell<u32>,
    under_way_max: Cell<u32>,
    authorization: RefCell<String>,
    /// Shards are over behind their last record.
    closed: Cell<bool>,
    /// The next subscription ends with it.
    push_exception: Cell<Option<&'static str>>,
}

impl Endpoint {
    async fn start() -> (Rc<Self>, Kinesis) {
        let endpoint = Rc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = Rc::clone(&endpoint);
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.set(serving.connections.get() + 1);
                tokio::task::spawn_local(Rc::clone(&serving).serve(stream));
            }
        });
        let kinesis = Kinesis::connect(&Target::Kinesis { url }).await.unwrap();
        (endpoint, kinesis)
    }

    async fn with_stream(shards: u32) -> (Rc<Self>, Kinesis) {
        let (endpoint, kinesis) = Self::start().await;
        let spec = StreamSpec { name: "s".to_owned(), shards, durability: None, record_bytes_max: None };
        kinesis.create_stream(&spec).await.unwrap();
        (endpoint, kinesis)
    }

    fn misbehave(&self, operation: &'static str, mischief: Mischief) {
        self.mischief.borrow_mut().entry(operation).or_default().push(mischief);
    }

    fn requests(&self, operation: &str) -> Vec<Value> {
        let seen = self.seen.borrow();
        seen.iter().filter(|(name, _)| name == operation).map(|(_, body)| body.clone()).collect()
    }

    async fn serve(self: Rc<Self>, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Some((operation, body)) = self.request(&mut stream, &mut buffer).await {
            self.seen.borrow_mut().push((operation.clone(), body.clone()));
            self.under_way.set(self.under_way.get() + 1);
            self.under_way_max.set(self.under_way_max.get().max(self.under_way.get()));
            // Others get their turn meanwhile, so that what gathers, gathers.
            tokio::task::yield_now().await;
            let mischief = self
                .mischief
                .borrow_mut()
                .get_mut(&*operation)
                .and_then(|queue| if queue.is_empty() { None } else { Some(queue.remove(0)) });
            if mischief == Some(Mischief::HangUp) {
                return;
            }
            let (status, answer) = match &*operation {
                "SubscribeToShard" if mischief.is_none() => (200, self.subscription(&body)),
                _ => {
                    let (status, answer) = self.answer(&operation, &body, mischief);
                    (status, answer.into_bytes())
                }
            };
            let head = format!(
                "HTTP/1.1 {status} Some\r\nServer: fake/1\r\nContent-Type: application/x-amz-json-1.1\r\n\
                 Content-Length: {}\r\n\r\n",
                answer.len()
            );
            self.under_way.set(self.under_way.get() - 1);
            stream.write_all(&[head.as_bytes(), &answer].concat()).await.unwrap();
        }
    }

    async fn request(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Value)> {
        loop {
            if let Some(end) = buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
                let header = |name: &str| {
                    let lines = head.lines().filter_map(|line| line.split_once(": "));
                    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
                };
                let len: usize = header("content-length").unwrap().parse().unwrap();
                if buffer.len() >= end + 4 + len {
                    assert_eq!(header("content-type").as_deref(), Some("application/x-amz-json-1.1"));
                    *self.authorization.borrow_mut() = header("authorization").expect("requests are signed");
                    let target = header("x-amz-target").unwrap();
                    let body = serde_json::from_slice(&buffer[end + 4..end + 4 + len]).unwrap();
                    buffer.drain(..end + 4 + len);
                    return Some((target.strip_prefix("Kinesis_20131202.").unwrap().to_owned(), body));
                }
            }
            if stream.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// A subscription that is over after two events of two records at most.
    fn subscription(&self, body: &Value) -> Vec<u8> {
        let event = |name, value: &Value| {
            message(&[(":message-type", "event"), (":event-type", name)], value.to_string().as_bytes())
        };
        let shards = self.shards.borrow();
        let all = &shards[shard_number(body["ShardId"].as_str().unwrap()).unwrap() as usize];
        let position = &body["StartingPosition"];
        let mut at = match position["Type"].as_str().unwrap() {
            "TRIM_HORIZON" => 0,
            "LATEST" => all.len(),
            _ => position["SequenceNumber"].as_str().unwrap().parse::<usize>().unwrap(),
        };
        let mut out = event("initial-response", &json!({}));
        for _ in 0..2 {
            let records =
                all.iter().enumerate().skip(at).take(2).map(
                    |(n, (key, data))| json!({ "Data": data, "PartitionKey": key, "SequenceNumber": n.to_string() }),
                );
            let records: Vec<_> = records.collect();
            at += records.len();
            let is_end = self.closed.get() && at == all.len();
            let next = (!is_end).then(|| at.to_string());
            let child = json!({ "ShardId": shard_id(1), "ParentShards": [shard_id(0)] });
            let children: Vec<_> = is_end.then_some(child).into_iter().collect();
            out.extend(event(
                "SubscribeToShardEvent",
                &json!({ "Records": records, "ContinuationSequenceNumber": next, "ChildShards": children }),
            ));
            if is_end {
                return out;
            }
        }
        if let Some(exception) = self.push_exception.take() {
            let headers = [(":message-type", "exception"), (":exception-type", exception)];
            out.extend(message(&headers, br#"{"message":"no"}"#));
        }
        out
    }

    fn answer(&self, operation: &str, body: &Value, mischief: Option<Mischief>) -> (u16, String) {
        if let Some(Mischief::Answer(status, exception)) = mischief {
            return (status, json!({ "__type": format!("com.amazon#{exception}"), "message": "no" }).to_string());
        }
        if let Some(Mischief::Body(body)) = mischief {
            return (200, body.to_owned());
        }
        let mut shards = self.shards.borrow_mut();
        let value = match operation {
            "CreateStream" => {
                shards.resize(body["ShardCount"].as_u64().unwrap() as usize, Vec::new());
                self.status.replace(Some("CREATING"));
                return (200, String::new());
            }
            "DeleteStream" => {
                self.status.replace(None);
                return (200, "{}".to_owned());
            }
            "DescribeStreamSummary" => {
                let Some(status) = self.status.replace_with(|old| old.map(|_| "ACTIVE")) else {
                    return (400, json!({ "__type": "ResourceNotFoundException", "message": "none" }).to_string());
                };
                let summary = json!({ "StreamARN": "arn:s", "StreamStatus": status, "OpenShardCount": shards.len() });
                json!({ "StreamDescriptionSummary": summary })
            }
            "ListShards" => {
                // Pages of two.
                let from: usize = body["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
                let page = (from..shards.len()).take(2).map(|n| json!({ "ShardId": shard_id(n as u32) }));
                let next = (from + 2 < shards.len()).then(|| (from + 2).to_string());
                json!({ "Shards": page.collect::<Vec<_>>(), "NextToken": next })
            }
            "PutRecords" => {
                let mut results = Vec::new();
                for (n, record) in body["Records"].as_array().unwrap().iter().enumerate() {
                    if matches!(mischief, Some(Mischief::RefuseEvery(every)) if n % every == 0) {
                        let code = "ProvisionedThroughputExceededException";
                        results.push(json!({ "ErrorCode": code, "ErrorMessage": "slow down" }));
                        continue;
                    }
                    let text = |name: &str| record[name].as_str().unwrap().to_owned();
                    let shard = text("PartitionKey").len() % shards.len();
                    shards[shard].push((text("PartitionKey"), text("Data")));
                    results.push(json!({ "SequenceNumber": "1", "ShardId": shard_id(shard as u32) }));
                }
                if mischief == Some(Mischief::Forget) {
                    results.pop();
                }
                json!({ "FailedRecordCount": 0, "Records": results })
            }
            "GetShardIterator" => {
                let shard = shard_number(body["ShardId"].as_str().unwrap()).unwrap() as usize;
                let at = match body["ShardIteratorType"].as_str().unwrap() {
                    "TRIM_HORIZON" => 0,
                    "LATEST" => shards[shard].len(),
                    _ => body["StartingSequenceNumber"].as_str().unwrap().parse::<usize>().unwrap() + 1,
                };
                json!({ "ShardIterator": format!("{shard}/{at}") })
            }
            "GetRecords" => {
                let (shard, at) = body["ShardIterator"].as_str().unwrap().split_once('/').unwrap();
                let (shard, at): (usize, usize) = (shard.parse().unwrap(), at.parse().unwrap());
                // Three at a time, so that reading takes several requests.
                let all = &shards[shard];
                let records = all.iter().enumerate().skip(at).take(3).map(
                    |(n, (key, data))| json!({ "Data": data, "PartitionKey": key, "SequenceNumber": n.to_string() }),
                );
                let records: Vec<_> = records.collect();
                let next = at + records.len();
                let behind = if next < all.len() { 1 } else { 0 };
                json!({ "Records": records, "NextShardIterator": format!("{shard}/{next}"), "MillisBehindLatest": behind })
            }
            "RegisterStreamConsumer" => {
                assert_eq!(body["StreamARN"], "arn:s");
                let arn = format!("arn:s/consumer/{}", body["ConsumerName"].as_str().unwrap());
                json!({ "Consumer": { "ConsumerARN": arn, "ConsumerStatus": "CREATING" } })
            }
            "DescribeStreamConsumer" => {
                json!({ "ConsumerDescription": { "ConsumerARN": body["ConsumerARN"], "ConsumerStatus": "ACTIVE" } })
            }
            other => panic!("{other} is not driven"),
        };
        (200, value.to_string())
    }
}

/// What became of records, by their numbers.
#[derive(Default)]
struct Outcomes(RefCell<Vec<(u64, Option<Failure>)>>);

impl Outcomes {
    fn done(self: &Rc<Self>) -> Done {
        let outcomes = Rc::clone(self);
        Rc::new(move |sent: &[Sent], result| {
            let mut all = outcomes.0.borrow_mut();
            all.extend(sent.iter().map(|sent| (sent.seq, result.err().cloned())));
        })
    }

    async fn wait_for(&self, count: usize) -> Vec<(u64, Option<Failure>)> {
        let all = async {
            while self.0.borrow().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("every record has an outcome");
        self.0.borrow().clone()
    }
}

fn sent(key: u32, seq: u64) -> Sent {
    Sent { producer: 0, key, seq, intended_ns: 0, actual_ns: 0, bytes: 8 }
}

async fn put(producer: &KinesisProducer, key: u32, seq: u64) {
    let (name, data) = (format!("k{key}"), seq.to_le_bytes());
    producer.send(Outgoing { key: &name, data: &data }, sent(key, seq)).await.unwrap();
}

fn poll() -> Read {
    Read { mode: ReadMode::Poll, interval: Time::from_millis(1), ..Read::default() }
}

async fn read(consumer: &mut KinesisConsumer, count: usize) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    while all.len() < count {
        let mut visit =
            |key: &str, data: &[u8]| all.push((key.to_owned(), u64::from_le_bytes(data.try_into().unwrap())));
        consumer.next(&mut visit).await.unwrap();
    }
    all
}

fn run(work: impl AsyncFnOnce()) {
    millstream::runtime::tokio::block_on(async |_| work().await).unwrap();
}

/// Goal: a stream is created and waited for, described, listed over pages, and gone after its deletion.
#[test]
fn streams_come_and_go() {
    run(async || {
        let (endpoint, kinesis) = Endpoint::with_stream(5).await;
        assert_eq!(endpoint.requests("DescribeStreamSummary").len(), 2, "once while it was being created");
        let shards = kinesis.shards("s").await.unwrap();
        assert_eq!(shards, (0..5).map(|number| ShardRef { number, parents: Vec::new() }).collect::<Vec<_>>());
        let info = kinesis.info("s").await.unwrap();
        assert_eq!((&*info.server, &*info.durability), ("fake/1", "unknown"));
        assert_eq!(info.settings["open_shards"], "5");
        kinesis.delete_stream("s").await.unwrap();
        assert_eq!(kinesis.info("s").await.unwrap_err().kind, "not_found");
        let authorization = endpoint.authorization.borrow();
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential="), "{authorization}");
        assert!(authorization.contains("/kinesis/aws4_request"), "{authorization}");
    });
}

/// Goal: what the API cannot do is refused before anything is sent.
#[test]
fn what_the_api_cannot_do_is_refused() {
    run(async || {
        let (endpoint, kinesis) = Endpoint::with_stream(1).await;
        let before = endpoint.seen.borrow().len();
        let durability = Some(crate::workload::Durability::Fsync);
        let spec = StreamSpec { name: "t".to_owned(), shards: 1, durability, record_bytes_max: None };
        assert_eq!(kinesis.create_stream(&spec).await.unwrap_err().kind, "unsupported");
        let read = Read { mode: ReadMode::LongPoll, ..poll() };
        assert_eq!(kinesis.consumer("s", 0, From::Start, &read).await.err().unwrap().kind, "unsupported");
        assert_eq!(endpoint.seen.borrow().len(), before);
        for url in ["127.0.0.1:4567", "ftp://host", "http://"] {
            let target = Target::Kinesis { url: url.to_owned() };
            assert_eq!(Kinesis::connect(&target).await.err().unwrap().kind, "bad_url", "{url}");
        }
        assert_eq!(
            host_and_port("https://kinesis.eu-central-1.amazonaws.com").unwrap(),
            "kinesis.eu-central-1.amazonaws.com:443"
        );
        assert_eq!(host_and_port("http://[::1]:4567/").unwrap(), "[::1]:4567");
    });
}

/// Goal: every record is acknowledged once and read as it was put, the records of a key in their order; batches keep to the
/// limit of 500, requests and connections to the number of lanes.
#[test]
fn records_arrive_in_order() {
    run(async || {
        let (endpoint, kinesis) = Endpoint::with_stream(1).await;
        let outcomes = Rc::new(Outcomes::default());
        let producer = kinesis.producer("s", &Batch::default(), outcomes.done()).await.unwrap();
        const COUNT: usize = 6000;
        for n in 0..COUNT as u64 {
            put(&producer, (n % 8) as u32, n).await;
        }
        assert!(outcomes.0.borrow().is_empty(), "no send waits while the buffer has room");
        let mut acked = outcomes.wait_for(COUNT).await;
        assert!(acked.iter().all(|(_, failure)| failure.is_none()));
        acked.sort_unstable_by_key(|(seq, _)| *seq);
        assert!(acked.iter().map(|(seq, _)| *seq).eq(0..COUNT as u64), "each once");
        let sizes: Vec<_> =
            endpoint.requests("PutRecords").iter().map(|body| body["Records"].as_array().unwrap().len()).collect();
        assert!(sizes.iter().all(|len| *len <= 500) && sizes.contains(&500), "{sizes:?}");
        assert!(endpoint.under_way_max.get() <= 4 && endpoint.connections.get() <= 5, "lanes, and the calls before");

        let mut consumer = kinesis.consumer("s", 0, From::Start, &poll()).await.unwrap();
        let mut next: BTreeMap<String, u64> = (0..8).map(|key| (format!("k{key}"), key)).collect();
        for (key, seq) in read(&mut consumer, COUNT).await {
            let expected = next.get_mut(&key).unwrap();
            assert_eq!(seq, *expected, "{key}");
            *expected += 8;
        }
    });
}

/// Goal: of an answer that refuses some records exactly those fail, as throttled, and nothing is sent a second time.
#[test]
fn partial_failures_are_told_apart() {
    run(async || {
        let (endpoint, kinesis) = Endpoint::with_stream(1).await;
        endpoint.misbehave("PutRecords", Mischief::RefuseEvery(3));
        let outcomes = Rc::new(Outcomes::default());
        let batch = Batch { linger: Time::from_secs(60), ..Batch::default() };
        let producer = kinesis.producer("s", &batch, outcomes.done()).await.unwrap();
        for n in 0..10 {
            put(&producer, 0, n).await;
        }
        producer.flush();
        let failed = |all: &[(u64, Option<Failure>)]| {
            let failed = all.iter().filter(|(_, failure)| failure.as_ref().is_some_and(|f| f.kind == "throttled"));
            failed.map(|(seq, _)| *seq).collect::<Vec<_>>()
        };
        let all = outcomes.wait_for(10).await;
        assert_eq!(failed(&all), [0, 3, 6, 9]);
        assert!(all.iter().flat_map(|(_, failure)| failure).all(|failure| !failure.outcome_unknown));
        assert_eq!(endpoint.requests("PutRecords").len(), 1);
        assert_eq!(endpoint.shards.borrow()[0].len(), 6);
    });
}

/// Goal: a request that fails fails all its records, with the outcome open exactly where it is: not after a refusal, but
/// after an error of the server, a lost connection, or an answer that makes no sense. The producer goes on.
#[test]
fn whole_failures_say_whether_the_outcome_is_known() {
    run(async || {
        let (endpoint, kinesis) = Endpoint::with_stream(1).await;
        let outcomes = Rc::new(Outcomes::default());
        let producer = kinesis.producer("s", &Batch::default(), outcomes.done()).await.unwrap();
        let cases = [
            (Mischief::Answer(400, "ProvisionedThroughputExceededException"), "throttled", false),
            (Mischief::Answer(400, "AccessDeniedException"), "AccessDeniedException", false),
            (Mischief::Answer(500, "InternalFailure"), "server_error", true),
            (Mischief::HangUp, "lost_connection", true),
            (Mischief::Forget, "not_understood", true),
        ];
        for (n, (mischief, kind, unknown)) in cases.into_iter().enumerate() {
            endpoint.misbehave("PutRecords", mischief);
            put(&producer, 0, n as u64).await;
            let all = outcomes.wait_for(n + 1).await;
            let failure = all[n].1.as_ref().unwrap();
            assert_eq!((&*failure.kind, failure.outcome_unknown), (kind, unknown), "{failure}");
        }
        put(&producer, 0, 99).await;
        assert_eq!(outcomes.wait_for(6).await[5], (99, None));
    });
}

/// Goal: the buffer bounds what is queued: a send beyond it waits until something was answered.
#[test]
fn a_full_buffer_holds_the_producer_back() {
    run(async || {
        let (_endpoint, kinesis) = Endpoint::with_stream(1).await;
        let outcomes = Rc::new(Outcomes::default());
        // Two records of 2 bytes of key and 8 of data.
        let batch = Batch { buffer: Size(20), ..Batch::default() };
        let producer = kinesis.producer("s", &batch, outcomes.done()).await.unwrap();
        put(&producer, 0, 0).await;
        put(&producer, 0, 1).await;
        assert!(outcomes.0.borrow().is_empty(), "the first two are taken at once");
        put(&producer, 0, 2).await;
        assert!(!outcomes.0.borrow().is_empty(), "the third had to wait");
        outcomes.wait_for(3).await;
    });
}

/// Goal: what is queued goes out although the producer was dropped.
#[test]
fn a_dropped_producer_delivers() {
    run(async || {
        let (_endpoint, kinesis) = Endpoint::with_stream(1).await;
        let outcomes = Rc::new(Outcomes::default());
        let batch = Batch { linger: Time::from_secs(60), ..Batch::default() };
        let producer = kinesis.producer("s", &batch, outcomes.done()).await.unwrap();
        put(&producer, 0, 0).await;
        drop(producer);
        assert_eq!(outcomes.wait_for(1).await, [(0, None)]);
    });
}

/// Goal: a consumer at the end gets what is put after it was opened, and nothing older.
#[test]
fn latest_is_where_the_consumer_was_opened() {
    run(async || {
        let (_endpoint, kinesis) = Endpoint::with_stream(1).await;
        let outcomes = Rc::new(Outcomes::default());
        let producer = kinesis.producer("s", &Batch::default(), outcomes.done()).await.unwrap();
        put(&producer, 0, 1).await;
        outcomes.wait_for(1).await;
        let mut consumer = kinesis.consumer("s", 0, From::End, &poll()).await.unwrap();
        put(&producer, 0, 2).await;
        assert_eq!(read(&mut consumer, 1).await, [("k0".to_owned(), 2)]);
    });
}

/// Goal: a get that fails is reported and loses nothing; an iterator that expired is replaced by one behind the last record.
#[test]
fn reading_goes_on_after_errors() {
    run(async || {
        let (endpoint, kinesis) = Endpoint::with_stream(1).await;
        let outcomes = Rc::new(Outcomes::default());
        let producer = kinesis.producer("s", &Batch::default(), outcomes.done()).await.unwrap();
        for n in 0..9 {
            put(&producer, 0, n).await;
        }
        outcomes.wait_for(9).await;
        let mut consumer = kinesis.consumer("s", 0, From::Start, &poll()).await.unwrap();
        let mut all = read(&mut consumer, 3).await;
        for (exception, kind) in
            [("ProvisionedThroughputExceededException", "throttled"), ("ExpiredIteratorException", "expired_iterator")]
        {
            endpoint.misbehave("GetRecords", Mischief::Answer(400, exception));
            assert_eq!(consumer.next(&mut |_, _| panic!("nothing came")).await.unwrap_err().kind, kind);
            all.extend(read(&mut consumer, 3).await);
        }
        assert!(all.iter().map(|(_, seq)| *seq).eq(0..9), "{all:?}");
        assert_eq!(endpoint.requests("GetShardIterator").len(), 2);
    });
}

/// Goal: at the end of a shard the consumer tells which shards go on with its keys.
#[test]
fn the_end_of_a_shard_tells_its_children() {
    run(async || {
        let (endpoint, kinesis) = Endpoint::with_stream(2).await;
        let mut consumer = kinesis.consumer("s", 1, From::Start, &poll()).await.unwrap();
        assert_eq!(consumer.next(&mut |_, _| {}).await.unwrap(), Received::default());
        let last = r#"{"Records": [], "NextShardIterator": null, "ChildShards": [{"ShardId": "shardId-000000000007",
            "ParentShards": ["shardId-000000000000", "shardId-000000000001"], "HashKeyRange": {}}]}"#;
        endpoint.misbehave("GetRecords", Mischief::Body(last));
        assert!(consumer.next(&mut |_, _| {}).await.unwrap().ended);
        assert_eq!(consumer.children().await.unwrap(), [ShardRef { number: 7, parents: vec![0, 1] }]);
    });
}

/// Goal: a record that is no base64 is handed over as one that cannot pass a verifier, not skipped.
#[test]
fn unreadable_data_is_not_skipped() {
    run(async || {
        let (endpoint, kinesis) = Endpoint::with_stream(1).await;
        endpoint.shards.borrow_mut()[0].push(("k0".to_owned(), "no base64!".to_owned()));
        endpoint.shards.borrow_mut()[0].push(("k0".to_owned(), STANDARD.encode(b"fine")));
        let mut consumer = kinesis.consumer("s", 0, From::Start, &poll()).await.unwrap();
        let mut seen = Vec::new();
        consumer.next(&mut |_, data| seen.push(data.to_vec())).await.unwrap();
        assert_eq!(seen, [b"".to_vec(), b"fine".to_vec()]);
    });
}

fn push() -> Read {
    Read { mode: ReadMode::Push, ..Read::default() }
}

/// Goal: pushed records come once and in order over many subscriptions, each going on where the one before ended, through a
/// refusal and an exception in mid-stream, up to the end of the shard.
#[test]
fn pushes_go_on_over_subscriptions() {
    run(async || {
        let (endpoint, kinesis) = Endpoint::with_stream(1).await;
        let outcomes = Rc::new(Outcomes::default());
        let producer = kinesis.producer("s", &Batch::default(), outcomes.done()).await.unwrap();
        for n in 0..9 {
            put(&producer, 0, n).await;
        }
        outcomes.wait_for(9).await;
        endpoint.push_exception.set(Some("InternalFailureException"));
        let mut consumer = kinesis.consumer("s", 0, From::Start, &push()).await.unwrap();
        let mut all = read(&mut consumer, 4).await;
        assert_eq!(consumer.next(&mut |_, _| panic!("nothing came")).await.unwrap_err().kind, "server_error");
        endpoint.misbehave("SubscribeToShard", Mischief::Answer(400, "ResourceInUseException"));
        assert_eq!(consumer.next(&mut |_, _| panic!("nothing came")).await.unwrap_err().kind, "in_use");
        endpoint.closed.set(true);
        all.extend(read(&mut consumer, 5).await);
        assert!(all.iter().map(|(_, seq)| *seq).eq(0..9), "{all:?}");
        let last = consumer.next(&mut |_, _| panic!("nothing came")).await.unwrap();
        assert!(last.ended);
        assert_eq!(consumer.children().await.unwrap(), [ShardRef { number: 1, parents: vec![0] }]);
        let asked = endpoint.requests("SubscribeToShard");
        let from = |n: usize| asked[n]["StartingPosition"]["SequenceNumber"].as_str();
        assert_eq!((from(0), from(1), from(2)), (None, Some("4"), Some("4")));
    });
}

/// Goal: consumers of one group of shards share a registered consumer, a second one of the same shard has another.
#[test]
fn consumers_are_registered_as_needed() {
    run(async || {
        let (endpoint, kinesis) = Endpoint::with_stream(2).await;
        for shard in [0, 1, 0, 1] {
            kinesis.consumer("s", shard, From::End, &push()).await.unwrap();
        }
        let names: Vec<_> =
            endpoint.requests("RegisterStreamConsumer").iter().map(|body| body["ConsumerName"].clone()).collect();
        assert_eq!(names.len(), 2);
        assert_ne!(names[0], names[1]);
        let used: Vec<_> =
            endpoint.requests("SubscribeToShard").iter().map(|body| body["ConsumerARN"].clone()).collect();
        assert!(used[0] == used[1] && used[2] == used[3] && used[0] != used[2], "{used:?}");
    });
}
