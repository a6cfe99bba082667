//! The Kinesis API: every operation, carried out against the worker and answered in the client's encoding.
//!
//! A request comes whole, with the head that HTTP gave it. [`handle`] has the head checked and the body decoded by
//! [`kinesis`](crate::kinesis), which knows the shapes; what is left is what the operations mean. Any worker carries out any
//! of them: what lives elsewhere is asked there, as for native connections.
//!
//! | module | what it is |
//! |---|---|
//! | [`call`] | one request: whom it is about, what it may do, how it is answered |
//! | [`failure`] | what Kinesis says to each failure |
//! | [`passing`] | statuses that pass, for tests of clients |
//! | `streams`, `changes`, `shards`, `reshard` | streams, their settings, their shards |
//! | `consumers`, `notes`, `account` | consumers; tags, policies, encryption, monitoring; limits and settings of the account |
//! | `put`, `start`, `get`, `subscribe` | records |

pub mod call;
pub mod failure;
pub mod passing;

mod account;
mod changes;
mod consumers;
mod get;
mod notes;
mod put;
mod reshard;
mod shards;
mod start;
mod streams;
mod subscribe;

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::kinesis::Encoding;
use crate::kinesis::error::{Code, Error};
use crate::kinesis::input::Input;
use crate::kinesis::model::{self, Operation};
use crate::kinesis::put::Scratch;
use crate::kinesis::seal::Sealer;
use crate::runtime::Runtime;
use crate::server::http::body::Body;
use crate::server::http::turns::Turns;
use crate::server::node::KinesisOptions;
use crate::server::worker::Worker;
use call::{Call, Reply};
use passing::Passing;

/// Parsed bodies that a worker keeps notes of at a time; more requests than that make new ones.
const SCRATCHES_MAX: usize = 16;

/// What a worker needs to serve the Kinesis API.
#[derive(Debug)]
pub struct Front {
    /// Region in ARNs when a request's signature names none.
    region: String,
    /// Account in ARNs.
    account: String,
    /// Closes iterators and tokens.
    sealer: Sealer,
    /// Statuses that are not the catalogue's.
    pub passing: Passing,
    scratches: RefCell<Vec<Scratch>>,
}

impl Front {
    /// For the node with this id.
    pub fn new(options: &KinesisOptions, node_id: u128) -> Self {
        Self {
            region: options.region.clone(),
            account: options.account.clone(),
            sealer: Sealer::new(node_id),
            passing: Passing::new(options.status_delay_ms),
            scratches: RefCell::default(),
        }
    }

    /// Calls `with` with notes to write on.
    fn scratch<T>(&self, with: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = self.scratches.borrow_mut().pop().unwrap_or_default();
        let result = with(&mut scratch);
        let mut scratches = self.scratches.borrow_mut();
        if scratches.len() < SCRATCHES_MAX {
            scratches.push(scratch);
        }
        result
    }
}

/// Carries out one request.
///
/// Resolves with the answer; a subscription goes on in its body. Dropping it gives up the answer, not a change that was begun.
pub async fn handle<R: Runtime>(
    worker: &Rc<Worker<R>>,
    parts: http::request::Parts,
    body: Bytes,
    turns: &Turns,
) -> Response<Body> {
    let front = worker.kinesis.as_ref().expect("requests come where the API is turned on");
    let ids = Ids::new(&worker.rt);
    let encoding = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let encoding = encoding.and_then(Encoding::of_content_type).unwrap_or(Encoding::Json);
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation = target.strip_prefix("Kinesis_20131202.").and_then(model::operation);
    let result = match operation {
        Some(operation) => {
            let call = Call { worker, front, operation, encoding, region: &front.region, turns };
            dispatch(&call, operation, body).await
        }
        None => Err(Error::bare(Code::UnknownOperationException)),
    };
    respond(result, encoding, &ids)
}

async fn dispatch<R: Runtime>(
    call: &Call<'_, R>,
    operation: &'static Operation,
    body: Bytes,
) -> Result<Reply, Error> {
    if call.worker.is_draining() {
        return Err(Error::new(Code::ServiceUnavailable, "The node is stopping."));
    }
    match operation.name {
        "PutRecord" => return call.put_record(&body).await,
        "PutRecords" => return call.put_records(&body).await,
        _ => {}
    }
    let input = Input::decode(operation, call.encoding, &body)?;
    match operation.name {
        "AddTagsToStream" => call.add_tags_to_stream(&input).await,
        "CreateStream" => call.create_stream(&input).await,
        "DecreaseStreamRetentionPeriod" => call.decrease_retention(&input).await,
        "DeleteResourcePolicy" => call.delete_policy(&input).await,
        "DeleteStream" => call.delete_stream(&input).await,
        "DeregisterStreamConsumer" => call.deregister_consumer(&input).await,
        "DescribeAccountSettings" => call.describe_account_settings().await,
        "DescribeLimits" => call.describe_limits(),
        "DescribeStream" => call.describe_stream(&input),
        "DescribeStreamConsumer" => call.describe_consumer(&input),
        "DescribeStreamSummary" => call.describe_summary(&input),
        "DisableEnhancedMonitoring" => call.disable_monitoring(&input).await,
        "EnableEnhancedMonitoring" => call.enable_monitoring(&input).await,
        "GetRecords" => call.get_records(&input).await,
        "GetResourcePolicy" => call.get_policy(&input),
        "GetShardIterator" => call.get_shard_iterator(&input).await,
        "IncreaseStreamRetentionPeriod" => call.increase_retention(&input).await,
        "ListShards" => call.list_shards(&input),
        "ListStreamConsumers" => call.list_consumers(&input),
        "ListStreams" => call.list_streams(&input),
        "ListTagsForResource" => call.list_tags_for_resource(&input),
        "ListTagsForStream" => call.list_tags_for_stream(&input),
        "MergeShards" => call.merge_shards(&input).await,
        "PutResourcePolicy" => call.put_policy(&input).await,
        "RegisterStreamConsumer" => call.register_consumer(&input).await,
        "RemoveTagsFromStream" => call.remove_tags_from_stream(&input).await,
        "SplitShard" => call.split_shard(&input).await,
        "StartStreamEncryption" => call.start_encryption(&input).await,
        "StopStreamEncryption" => call.stop_encryption(&input).await,
        "SubscribeToShard" => call.subscribe_to_shard(&input).await,
        "TagResource" => call.tag_resource(&input).await,
        "UntagResource" => call.untag_resource(&input).await,
        "UpdateAccountSettings" => call.update_account_settings(&input).await,
        "UpdateMaxRecordSize" => call.update_max_record_size(&input).await,
        "UpdateShardCount" => call.update_shard_count(&input).await,
        "UpdateStreamMode" => call.update_mode(&input).await,
        "UpdateStreamRecordDistributionStrategy" => call.update_distribution(&input).await,
        "UpdateStreamWarmThroughput" => call.update_warm_throughput(&input).await,
        _ => Err(Error::bare(Code::UnknownOperationException)),
    }
}

/// What a request is known by.
struct Ids {
    request: String,
    extended: String,
}

impl Ids {
    fn new<R: Runtime>(rt: &R) -> Self {
        let (high, low) = (rt.random(), rt.random());
        // Version 4: random.
        let (high, low) = (high & !0xf000 | 0x4000, low & !(0b11 << 62) | 0b10 << 62);
        let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
        let request = format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff);
        let mut extended = [0; 72];
        for piece in extended.chunks_exact_mut(8) {
            piece.copy_from_slice(&rt.random().to_be_bytes());
        }
        Self { request, extended: base64_simd::STANDARD.encode_to_string(extended) }
    }
}

fn respond(result: Result<Reply, Error>, encoding: Encoding, ids: &Ids) -> Response<Body> {
    let (status, content_type, body, error) = match result {
        Ok(Reply::Void) => (StatusCode::OK, None, Body::empty(), None),
        Ok(Reply::Body(bytes)) => (StatusCode::OK, Some(encoding.content_type()), Body::from(bytes), None),
        Ok(Reply::Events(body)) => (StatusCode::OK, Some(crate::kinesis::event_stream::CONTENT_TYPE), body, None),
        Err(error) => {
            let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, Some(encoding.content_type()), Body::from(error.body(encoding)), Some(error.code))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let text = |text: &str| HeaderValue::from_str(text).expect("ids are ASCII");
    headers.insert("x-amzn-requestid", text(&ids.request));
    headers.insert("x-amz-id-2", text(&ids.extended));
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Some(code) = error {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(code.name()));
    }
    response
}
