//! Bodies of requests: gathered in one piece, within bounds of size, memory and time.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures_lite::future;
use http::StatusCode;
use http_body::Body;
use std::io::Read;

use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_FREE_BYTES, REQUEST_ARRIVAL_US_MAX};
use crate::runtime::Runtime;
use crate::runtime::local::{Permit, Semaphore};

/// So much is decompressed before others are let in.
const INFLATE_BYTES: usize = 128 << 10;

/// Why a request is answered before anybody looks at what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// More than [`HTTP_BODY_BYTES_MAX`].
    TooLarge,
    /// It did not arrive within [`REQUEST_ARRIVAL_US_MAX`].
    TooSlow,
    /// It ended too early, or was not sent as HTTP wants it.
    Broken,
    /// Too much is under way.
    Overloaded,
}

impl Refusal {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The memory that bodies are gathered in.
pub(super) struct Budget<'a, R> {
    pub(super) rt: &'a R,
    /// The connection's own, of [`HTTP_FREE_BYTES`].
    pub(super) own: &'a Rc<Semaphore>,
    /// The worker's, for all requests that are larger.
    pub(super) shared: &'a Rc<Semaphore>,
}

impl<R: Runtime> Budget<'_, R> {
    async fn acquire(&self, bytes: usize) -> Permit {
        match self.own.try_acquire(bytes) {
            Some(permit) if bytes <= HTTP_FREE_BYTES => permit,
            _ => self.shared.acquire(bytes).await,
        }
    }

    /// Gathers a body; with it comes the memory it occupies.
    pub(super) async fn gather<B>(&self, mut body: B) -> Result<(Bytes, Option<Permit>), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.is_end_stream() {
            return Ok((Bytes::new(), None));
        }
        let exact = match body.size_hint().exact() {
            Some(len) => match usize::try_from(len) {
                Ok(len) if len <= HTTP_BODY_BYTES_MAX => Some(len),
                _ => return Err(Refusal::TooLarge),
            },
            None => None,
        };
        // What is not announced is taken for small, until it is not.
        let mut permit_bytes = exact.unwrap_or(HTTP_FREE_BYTES);
        let mut permit = Some(self.acquire(permit_bytes).await);
        let mut bytes = Vec::new();
        // The time it waited for memory is not the client's.
        let mut late = pin!(self.rt.sleep(Duration::from_micros(REQUEST_ARRIVAL_US_MAX)));
        loop {
            let next = async { Some(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await) };
            let too_late = async {
                late.as_mut().await;
                None
            };
            let data = match future::or(next, too_late).await {
                None => return Err(Refusal::TooSlow),
                Some(None) => return Ok((bytes.into(), permit)),
                Some(Some(Err(_))) => return Err(Refusal::Broken),
                Some(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => data,
                    // Trailers; nobody reads them.
                    Err(_) => continue,
                },
            };
            if exact == Some(data.len()) {
                // Most requests that are small arrive at once.
                return Ok((data, permit));
            }
            let len = bytes.len() + data.len();
            if len > HTTP_BODY_BYTES_MAX {
                return Err(Refusal::TooLarge);
            }
            if len > permit_bytes {
                // Given back before more is asked for: nobody waits for the budget while holding part of it.
                drop(permit.take());
                permit_bytes = (2 * len).min(HTTP_BODY_BYTES_MAX);
                permit = Some(self.shared.acquire(permit_bytes).await);
                late.set(self.rt.sleep(Duration::from_micros(REQUEST_ARRIVAL_US_MAX)));
            }
            bytes.reserve_exact(permit_bytes - bytes.len());
            bytes.extend_from_slice(&data);
        }
    }

    /// Decompresses a body that came in a `Content-Encoding` we know, which is not so for others and for what is damaged:
    /// whoever reads those finds no sense in them.
    pub(super) async fn inflate(
        &self,
        encoding: &str,
        bytes: &Bytes,
    ) -> Result<Option<(Bytes, Option<Permit>)>, Refusal> {
        match encoding {
            _ if bytes.is_empty() => Ok(None),
            "gzip" | "x-gzip" => self.drain(MultiGzDecoder::new(&bytes[..])).await,
            // The name means zlib, but some send what is inside it.
            "deflate" if has_zlib_header(bytes) => self.drain(ZlibDecoder::new(&bytes[..])).await,
            "deflate" => self.drain(DeflateDecoder::new(&bytes[..])).await,
            _ => Ok(None),
        }
    }

    async fn drain(&self, mut from: impl Read) -> Result<Option<(Bytes, Option<Permit>)>, Refusal> {
        let (mut bytes, mut permit): (Vec<u8>, Option<Permit>) = (Vec::new(), None);
        let mut permit_bytes = 0;
        loop {
            if permit_bytes < bytes.len() + INFLATE_BYTES {
                // Not waited for: the compressed body holds memory already.
                let more = bytes.len().max(INFLATE_BYTES);
                let more_permit = self.shared.try_acquire(more).ok_or(Refusal::Overloaded)?;
                permit_bytes += more;
                match &mut permit {
                    Some(permit) => permit.merge(more_permit),
                    None => permit = Some(more_permit),
                }
                bytes.reserve_exact(permit_bytes - bytes.len());
            }
            match from.by_ref().take(INFLATE_BYTES as u64).read_to_end(&mut bytes) {
                Ok(0) => return Ok(Some((bytes.into(), permit))),
                Ok(_) if bytes.len() > HTTP_BODY_BYTES_MAX => return Err(Refusal::TooLarge),
                Ok(_) => self.rt.yield_now().await,
                Err(_) => return Ok(None),
            }
        }
    }
}

fn has_zlib_header(bytes: &[u8]) -> bool {
    matches!(bytes, [method, flags, ..] if method & 15 == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31))
}
