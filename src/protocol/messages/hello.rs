//! Hello: the first request of a connection.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{
    AUTH_TOKEN_BYTES_MAX, FRAME_BODY_BYTES_MAX, GET_WAIT_MS_MAX, HELLO_TEXT_BYTES_MAX, IN_FLIGHT_PER_CONNECTION_MAX,
    PRODUCER_WINDOW, PUT_KEYED_RECORDS_MAX, READ_BYTES_MAX, SUBSCRIBE_CREDIT_BYTES_MAX,
    SUBSCRIPTIONS_PER_CONNECTION_MAX, WORKERS_MAX,
};
use crate::protocol::Opcode;
use crate::types::{WallUs, WorkerId};

/// Opens a connection.
///
/// ```text
/// 0 u8 version_min   1 u8 version_max   2 u64 features   10 str16 client   then bytes16 token
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Oldest protocol version the client speaks.
    pub version_min: u8,
    /// Newest protocol version the client speaks.
    pub version_max: u8,
    /// Optional features the client knows.
    pub features: u64,
    /// The client's name and version, for logs and metrics.
    pub client: &'a str,
    /// The authentication token; empty if none.
    pub token: &'a [u8],
}

/// Answers a [`Hello`].
///
/// ```text
///  0 u8 version    1 u64 features    9 u128 node_id   25 str16 node_version
///    u16 worker    u32 count, count × u16 direct_port   8 × u32 limits   u64 wall_us   u64 catalogue_version
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloAnswer<'a> {
    /// The version this connection speaks from now on.
    pub version: u8,
    /// Features that both ends know.
    pub features: u64,
    /// The node, as its data directory names it.
    pub node_id: u128,
    /// The node's version, for humans.
    pub node_version: &'a str,
    /// The worker that serves this connection.
    pub worker: WorkerId,
    /// Every worker's own port, by worker number. 0 where a worker has none.
    pub direct_ports: Vec<u16>,
    /// The bounds in force.
    pub limits: Limits,
    /// The node's wall clock.
    pub wall: WallUs,
    /// Version of the catalogue: grows with every change to it.
    pub catalogue_version: u64,
}

/// Bounds a client has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body of a put.
    pub frame_body_bytes_max: u32,
    /// Records in one keyed put.
    pub put_keyed_records_max: u32,
    /// Requests of one connection that may be unanswered.
    pub in_flight_max: u32,
    /// Batches of one producer and shard that may be unanswered.
    pub producer_window: u32,
    /// Longest wait of a get, in milliseconds.
    pub get_wait_ms_max: u32,
    /// Largest answer to a get: more is sent only if the first frame alone is larger.
    pub read_bytes_max: u32,
    /// Most credit that a subscription holds, in bytes.
    pub credit_bytes_max: u32,
    /// Subscriptions on one connection.
    pub subscriptions_max: u32,
}

impl Default for Limits {
    /// The bounds of this build.
    fn default() -> Self {
        Self {
            frame_body_bytes_max: FRAME_BODY_BYTES_MAX,
            put_keyed_records_max: PUT_KEYED_RECORDS_MAX,
            in_flight_max: IN_FLIGHT_PER_CONNECTION_MAX as u32,
            producer_window: PRODUCER_WINDOW as u32,
            get_wait_ms_max: GET_WAIT_MS_MAX,
            read_bytes_max: READ_BYTES_MAX,
            credit_bytes_max: SUBSCRIBE_CREDIT_BYTES_MAX,
            subscriptions_max: SUBSCRIPTIONS_PER_CONNECTION_MAX as u32,
        }
    }
}

impl Operation for Hello<'_> {
    const OPCODE: Opcode = Opcode::Hello;
    type Answer<'a> = HelloAnswer<'a>;
}

impl Encode for Hello<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u8(self.version_min);
        out.put_u8(self.version_max);
        out.put_u64(self.features);
        out.put_bytes16(self.client.as_bytes());
        out.put_bytes16(self.token);
    }
}

impl<'a> Decode<'a> for Hello<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                version_min: r.u8("version_min")?,
                version_max: r.u8("version_max")?,
                features: r.u64("features")?,
                client: r.str16(HELLO_TEXT_BYTES_MAX, "client")?,
                token: r.bytes16(AUTH_TOKEN_BYTES_MAX, "token")?,
            })
        })
    }
}

impl Encode for HelloAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u8(self.version);
        out.put_u64(self.features);
        out.put_u128(self.node_id);
        out.put_bytes16(self.node_version.as_bytes());
        out.put_u16(self.worker.0);
        out.put_u32(self.direct_ports.len() as u32);
        for port in &self.direct_ports {
            out.put_u16(*port);
        }
        self.limits.encode(out);
        out.put_u64(self.wall.0);
        out.put_u64(self.catalogue_version);
    }
}

impl<'a> Decode<'a> for HelloAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                version: r.u8("version")?,
                features: r.u64("features")?,
                node_id: r.u128("node_id")?,
                node_version: r.str16(HELLO_TEXT_BYTES_MAX, "node_version")?,
                worker: WorkerId(r.u16("worker")?),
                direct_ports: {
                    let count = r.count32(2, WORKERS_MAX, "direct_ports")?;
                    (0..count).map(|_| r.u16("direct_port")).collect::<Result<_, _>>()?
                },
                limits: Limits::read(r)?,
                wall: WallUs(r.u64("wall_us")?),
                catalogue_version: r.u64("catalogue_version")?,
            })
        })
    }
}

impl Limits {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.frame_body_bytes_max);
        out.put_u32(self.put_keyed_records_max);
        out.put_u32(self.in_flight_max);
        out.put_u32(self.producer_window);
        out.put_u32(self.get_wait_ms_max);
        out.put_u32(self.read_bytes_max);
        out.put_u32(self.credit_bytes_max);
        out.put_u32(self.subscriptions_max);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            frame_body_bytes_max: r.u32("frame_body_bytes_max")?,
            put_keyed_records_max: r.u32("put_keyed_records_max")?,
            in_flight_max: r.u32("in_flight_max")?,
            producer_window: r.u32("producer_window")?,
            get_wait_ms_max: r.u32("get_wait_ms_max")?,
            read_bytes_max: r.u32("read_bytes_max")?,
            credit_bytes_max: r.u32("credit_bytes_max")?,
            subscriptions_max: r.u32("subscriptions_max")?,
        })
    }
}
