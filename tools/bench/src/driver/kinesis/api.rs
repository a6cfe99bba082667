//! One endpoint: signed requests over connections that are kept, and what its errors mean.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, SERVER};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;

use super::super::Failure;
use super::messages::{Answer, ErrorAnswer};

const CONTENT: &str = "application/x-amz-json-1.1";
const TARGET: &str = "x-amz-target";
const TARGET_PREFIX: &str = "Kinesis_20131202.";
const REGION_DEFAULT: &str = "us-east-1";

/// An endpoint.
pub struct Api {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Scheme, host and port, without a path.
    url: String,
    host: String,
    region: String,
    identity: Identity,
    /// What it called itself in its last answer.
    server: RefCell<Option<String>>,
}

impl Api {
    /// The endpoint at `url`. Nothing is sent yet.
    pub fn new(url: &str) -> Result<Self, Failure> {
        let (scheme, uri) = parse(url)?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let roots = HttpsConnectorBuilder::new().with_native_roots();
        let roots = roots.map_err(|error| Failure::new("no_certificates", error.to_string()));
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        // Otherwise it would take no https URLs.
        http.enforce_http(false);
        let connector = match (scheme, roots) {
            ("https", Err(failure)) => return Err(failure),
            (_, Ok(builder)) => builder.https_or_http().enable_http1().wrap_connector(http),
            // A machine without certificates reaches local endpoints all the same.
            (_, Err(_)) => {
                let empty = rustls::RootCertStore::empty();
                let config = rustls::ClientConfig::builder().with_root_certificates(empty);
                let builder = HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth());
                builder.https_or_http().enable_http1().wrap_connector(http)
            }
        };
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            region: region(uri.host().unwrap_or_default()),
            url: format!("{scheme}://{host}/"),
            host,
            identity: credentials().into(),
            server: RefCell::default(),
        })
    }

    /// What the endpoint calls itself, as far as it says.
    pub fn server_name(&self) -> String {
        self.server.borrow().clone().unwrap_or_else(|| "an endpoint that speaks Kinesis".to_owned())
    }

    /// Sends a request; gives its answer.
    ///
    /// # Errors
    /// By the name of the exception, as `not_found`, or by what became of the connection. See [`kind`].
    pub async fn call<A: Answer>(
        &self,
        operation: &str,
        request: &impl Serialize,
        timeout: Duration,
    ) -> Result<A, Failure> {
        let body = serde_json::to_vec(request).expect("requests are plain structs");
        let answer = self.send(operation, body.into(), timeout).await?;
        A::read(&answer).map_err(|error| not_understood(operation, &error))
    }

    /// As [`Api::call`], with the text of request and answer.
    pub async fn send(&self, operation: &str, body: Bytes, timeout: Duration) -> Result<Bytes, Failure> {
        let exchange = async { whole(operation, self.begin(operation, body).await?).await };
        in_time(operation, timeout, exchange).await
    }

    /// As [`Api::send`]; resolves when the answer begins, and what it goes on with has all the time it wants.
    pub async fn subscribe(&self, operation: &str, body: Bytes, timeout: Duration) -> Result<Incoming, Failure> {
        in_time(operation, timeout, self.begin(operation, body)).await
    }

    /// Sends a request; resolves when a good answer begins.
    async fn begin(&self, operation: &str, body: Bytes) -> Result<Incoming, Failure> {
        let request = self.signed(operation, body)?;
        let answer = self.client.request(request).await.map_err(|error| {
            let text = chain(&error);
            if error.is_connect() {
                return Failure::new("no_connection", format!("{}: {text}", self.host));
            }
            lost(operation, &text)
        })?;
        let (parts, body) = answer.into_parts();
        if let Some(name) = parts.headers.get(SERVER).and_then(|name| name.to_str().ok()) {
            self.server.borrow_mut().get_or_insert_with(|| name.to_owned());
        }
        if parts.status.is_success() {
            return Ok(body);
        }
        Err(refused(operation, parts.status, &whole(operation, body).await?))
    }

    fn signed(&self, operation: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let fail = |what: &dyn std::fmt::Display| Failure::new("not_signed", format!("{operation}: {what}"));
        let target = format!("{TARGET_PREFIX}{operation}");
        let headers = [(HOST.as_str(), &*self.host), (CONTENT_TYPE.as_str(), CONTENT), (TARGET, &target)];
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("kinesis")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| fail(&error))?
            .into();
        let signable = SignableRequest::new("POST", &self.url, headers.into_iter(), SignableBody::Bytes(&body));
        let (signature, _) =
            sign(signable.map_err(|error| fail(&error))?, &params).map_err(|error| fail(&error))?.into_parts();
        let builder = Request::builder().method(Method::POST).uri(&self.url);
        let builder = headers.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value));
        let mut request = builder.body(Full::new(body)).map_err(|error| fail(&error))?;
        signature.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// All of an answer.
async fn whole(operation: &str, body: Incoming) -> Result<Bytes, Failure> {
    Ok(body.collect().await.map_err(|error| lost(operation, &chain(&error)))?.to_bytes())
}

async fn in_time<T>(
    operation: &str,
    timeout: Duration,
    exchange: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_| Failure {
        outcome_unknown: true,
        ..Failure::new("timeout", format!("{operation}: no answer within {timeout:?}"))
    };
    tokio::time::timeout(timeout, exchange).await.map_err(late)?
}

/// A URL of an endpoint, and its scheme.
pub fn parse(url: &str) -> Result<(&'static str, Uri), Failure> {
    let bad = |why: &str| Failure::new("bad_url", format!("{url}: {why}"));
    let uri: Uri = url.parse().map_err(|_| bad("not a URL"))?;
    let scheme = ["http", "https"].into_iter().find(|scheme| uri.scheme_str() == Some(scheme));
    let scheme = scheme.ok_or_else(|| bad("begins with neither http:// nor https://"))?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(bad("has no host"));
    }
    Ok((scheme, uri))
}

/// Those of the environment, or made-up ones.
fn credentials() -> Credentials {
    let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => Credentials::new(id, secret, var("AWS_SESSION_TOKEN"), None, "environment"),
        _ => Credentials::new("millstream", "bench", None, None, "made up"),
    }
}

/// `AWS_REGION`, or what stands in `kinesis.REGION.amazonaws.com`.
fn region(host: &str) -> String {
    let var = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| std::env::var(name).ok());
    var.filter(|region| !region.is_empty()).unwrap_or_else(|| {
        let in_host = host.split_once("kinesis.").and_then(|(_, rest)| rest.split_once(".amazonaws."));
        in_host.map_or(REGION_DEFAULT, |(region, _)| region).to_owned()
    })
}

/// The failure that an error answer stands for. An error of the endpoint's own leaves the outcome open.
fn refused(operation: &str, status: StatusCode, body: &[u8]) -> Failure {
    let answer = serde_json::from_slice::<ErrorAnswer<'_>>(body).ok();
    let name = answer.as_ref().and_then(|answer| answer.kind.as_deref());
    let text = answer.as_ref().and_then(|answer| answer.message.as_deref()).unwrap_or_default();
    let name = name.map_or("", |name| name.rsplit('#').next().unwrap_or(name));
    let kind = match name {
        "" => format!("http_{}", status.as_u16()).into(),
        name => kind(name),
    };
    Failure {
        outcome_unknown: status.is_server_error(),
        ..Failure::new(kind, format!("{operation}: {status} {name} {text}"))
    }
}

/// The short name of an exception: those that a load meets have one of their own, the others are called as the API
/// calls them.
pub fn kind(exception: &str) -> std::borrow::Cow<'static, str> {
    match exception {
        "ProvisionedThroughputExceededException" | "ThrottlingException" | "KMSThrottlingException" => {
            "throttled".into()
        }
        "LimitExceededException" => "limit_exceeded".into(),
        "ResourceNotFoundException" => "not_found".into(),
        "ResourceInUseException" => "in_use".into(),
        "ExpiredIteratorException" => "expired_iterator".into(),
        "InternalFailure" | "InternalFailureException" | "ServiceUnavailable" => "server_error".into(),
        other => other.to_owned().into(),
    }
}

/// An answer that makes no sense.
pub fn not_understood(operation: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure { outcome_unknown: true, ..Failure::new("not_understood", format!("{operation}: {why}")) }
}

/// The connection ended on the way.
fn lost(operation: &str, why: &str) -> Failure {
    Failure { outcome_unknown: true, ..Failure::new("lost_connection", format!("{operation}: {why}")) }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
