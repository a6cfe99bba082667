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
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::kinesis::access::Access;
use crate::kinesis::error::{Code, Error};
use crate::kinesis::input::Input;
use crate::kinesis::put::Scratch;
use crate::kinesis::request::{Accepted, Cors, Head, Refused, check, stamp};
use crate::kinesis::seal::Sealer;
use crate::kinesis::{Encoding, event_stream};
use crate::runtime::Runtime;
use crate::server::http::{AsSent, Body, Turns};
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
    /// Who may do what.
    access: Access,
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
            access: Access::new(options.keys.as_deref()),
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
    let cors = Cors::of(parts.method.as_str(), &parts.headers);
    let mut response = match cors {
        Cors::Preflight { .. } => Response::new(Body::empty()),
        Cors::Absent | Cors::Simple => front.answer(worker, &parts, &body, turns).await,
    };
    let random = u128::from(worker.rt.random()) << 64 | u128::from(worker.rt.random());
    stamp(response.headers_mut(), random, &cors);
    response
}

impl Front {
    async fn answer<R: Runtime>(
        &self,
        worker: &Rc<Worker<R>>,
        parts: &http::request::Parts,
        body: &Bytes,
        turns: &Turns,
    ) -> Response<Body> {
        // Signatures cover what was sent.
        let sent = parts.extensions.get::<AsSent>().map(|AsSent(sent)| sent);
        let accepted = match check(&Head::of(parts), &self.access, worker.rt.wall(), sent.unwrap_or(body)) {
            Ok(accepted) => accepted,
            Err(refused) => return refusal(refused),
        };
        let Accepted { operation, encoding, region, principal, body: plain } = accepted;
        let body: &[u8] = if sent.is_some() { body } else { &plain };
        let region = region.as_deref().unwrap_or(&self.region);
        let call = Call { worker, front: self, operation, encoding, region, principal, turns };
        match dispatch(&call, body).await {
            Ok(reply) => respond(reply, encoding),
            Err(error) => refusal(Refused::new(&error, encoding)),
        }
    }
}

async fn dispatch<R: Runtime>(call: &Call<'_, R>, body: &[u8]) -> Result<Reply, Error> {
    if call.worker.is_draining() {
        return Err(Error::new(Code::ServiceUnavailable, "The node is stopping."));
    }
    match call.operation.name {
        "PutRecord" => return call.put_record(body).await,
        "PutRecords" => return call.put_records(body).await,
        _ => {}
    }
    let input = Input::decode(call.operation, call.encoding, body)?;
    match call.operation.name {
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

fn respond(reply: Reply, encoding: Encoding) -> Response<Body> {
    let (content_type, body) = match reply {
        Reply::Void => return Response::new(Body::empty()),
        Reply::Body(bytes) => (encoding.content_type(), Body::from(bytes)),
        Reply::Events(body) => (event_stream::CONTENT_TYPE, body),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn refusal(refused: Refused) -> Response<Body> {
    let Refused { status, content_type, code, body } = refused;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("codes have statuses of HTTP");
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(code.name()));
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}
