//! The client, its hook, and the few steps that all cases take.

use std::process::{Command, Stdio};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{BehaviorVersion, ConfigBag, Credentials, Intercept, Region, RuntimeComponents};
use aws_sdk_kinesis::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::types::{Record, ShardIteratorType, StreamDescriptionSummary, StreamStatus};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};

use crate::report::{called, scheme, told, until};

pub const SHARD_ZERO: &str = "shardId-000000000000";
pub const SHARD_ONE: &str = "shardId-000000000001";

/// Tells the report what the client called.
#[derive(Debug)]
struct Report;

impl Intercept for Report {
    fn name(&self) -> &'static str {
        "MillstreamReport"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = config.load::<Metadata>().expect("every call has its name");
        let kind = context.response().headers().get("content-type").unwrap_or_default();
        let encoding = if kind.contains("cbor") { "cbor" } else { "json" };
        called(operation.name(), encoding, context.response().status().as_u16());
        Ok(())
    }
}

/// An ordinary client, which trusts the node's authority.
pub fn client_of(endpoint: &str, key: &str, secret: &str) -> Client {
    let mut trust = TrustStore::empty();
    if scheme() == "https" {
        trust = trust.with_pem_certificate(std::fs::read(told("AWS_CA_BUNDLE")).expect("the node's authority"));
    }
    let tls = TlsContext::builder().with_trust_store(trust).build().expect("certificates");
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls).build_https();
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(told("AWS_REGION")))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new(key, secret, None, None, "test"))
        .http_client(http)
        .interceptor(Report);
    Client::from_conf(config.build())
}

pub fn client() -> Client {
    client_of(&told("MILLSTREAM_ENDPOINT"), "any", "any")
}

pub fn named(text: &str) -> String {
    format!("rust-{}-{text}", scheme())
}

pub async fn create(client: &Client, text: &str, shards: i32) -> String {
    let name = named(text);
    client.create_stream().stream_name(&name).shard_count(shards).send().await.expect("created");
    active(client, &name).await;
    name
}

pub async fn active(client: &Client, name: &str) {
    until("the stream is active", 60, async || {
        let answer = client.describe_stream().stream_name(name).send().await.expect("described");
        (answer.stream_description()?.stream_status() == &StreamStatus::Active).then_some(())
    })
    .await;
}

pub async fn summary(client: &Client, name: &str) -> StreamDescriptionSummary {
    let answer = client.describe_stream_summary().stream_name(name).send().await.expect("described");
    answer.stream_description_summary.expect("a summary")
}

pub async fn iterator(
    client: &Client,
    name: &str,
    shard: &str,
    kind: ShardIteratorType,
    number: Option<&str>,
) -> String {
    let call = client.get_shard_iterator().stream_name(name).shard_id(shard).shard_iterator_type(kind);
    let answer = call.set_starting_sequence_number(number.map(str::to_owned)).send().await.expect("an iterator");
    answer.shard_iterator.expect("an iterator")
}

/// All records from an iterator to the tip or to the end of the shard; and the last answer.
pub async fn read(client: &Client, position: String) -> (Vec<Record>, GetRecordsOutput) {
    let (mut records, mut position) = (Vec::new(), position);
    for _ in 0..2000 {
        let page = client.get_records().shard_iterator(&position).limit(100).send().await.expect("records");
        records.extend_from_slice(page.records());
        match page.next_shard_iterator() {
            Some(_) if page.records().is_empty() && page.millis_behind_latest() == Some(0) => return (records, page),
            Some(next) => position = next.to_owned(),
            None => return (records, page),
        }
    }
    panic!("no end after {} records", records.len());
}

/// Asserts that a call failed with this error; `modeled` tells whether the SDK has a type of its own for it, and found it.
pub fn fails<T: std::fmt::Debug, E>(
    answer: Result<T, SdkError<E, HttpResponse>>,
    code: &str,
    modeled: impl Fn(&E) -> bool,
) where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let error = answer.expect_err(code);
    assert_eq!(error.raw_response().map(|r| r.status().as_u16()), Some(400), "{}", DisplayErrorContext(&error));
    let service = error.as_service_error().expect("an error of the service");
    assert_eq!(service.code(), Some(code), "{}", DisplayErrorContext(&error));
    assert!(modeled(service), "{service:?} has its type");
    assert!(service.meta().request_id().is_some(), "{service:?} has a request id");
}

/// A command of the node's own.
pub fn millstream(words: &[&str]) {
    let mut command = Command::new(told("MILLSTREAM_BINARY"));
    command.args(words).args(["--node", &told("MILLSTREAM_NODE")]).stdout(Stdio::null());
    assert!(command.status().expect("the binary").success(), "{words:?}");
}
