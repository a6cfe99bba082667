//! The first 32 bytes of every message: what it is, how long it is, whom it answers.
//!
//! A head is looked at in two steps, so that nobody waits for, or reserves, what garbage claims:
//! 1. [`Head::decode`] needs the 32 bytes alone: magic, version, flags and both lengths against their limits.
//! 2. [`Head::check`] needs the args too and verifies the checksum over both. From here on the lengths are trusted.

use thiserror::Error;

use super::{Encode, ErrorAnswer, ErrorCode, Opcode, VERSION, VERSION_MIN};
use crate::codec::{Reader, Write};
use crate::format::frame::HEADER_BYTES;
use crate::limits::{ANSWER_BODY_BYTES_MAX, ARGS_BYTES_MAX, FRAME_BODY_BYTES_MAX, READ_BYTES_MAX};

/// Bytes of a head.
pub const HEAD_BYTES: usize = 32;

/// First four bytes of every message: "MSN1".
pub const MAGIC: u32 = u32::from_le_bytes(*b"MSN1");

/// Where the checksum starts: after magic and checksum.
const SUMMED_FROM: usize = 8;

const _: () = assert!(
    ANSWER_BODY_BYTES_MAX as usize >= READ_BYTES_MAX as usize + HEADER_BYTES + FRAME_BODY_BYTES_MAX as usize,
    "a full read and one largest frame fit"
);

const FLAG_ANSWER: u16 = 1;
const FLAG_ERROR: u16 = 2;
const FLAG_PUSH: u16 = 4;
const FLAG_END: u16 = 8;

/// Which end of a connection receives a message. It decides what may arrive and how long it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The node: requests arrive.
    Server,
    /// The client: answers and pushes arrive.
    Client,
}

impl Side {
    /// Largest body that may arrive here.
    #[must_use]
    pub const fn body_bytes_max(self) -> u32 {
        match self {
            Self::Server => FRAME_BODY_BYTES_MAX,
            Self::Client => ANSWER_BODY_BYTES_MAX,
        }
    }
}

/// What a message is, as its flags say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Asks for something.
    Request,
    /// Answers a request that succeeded.
    Answer,
    /// Answers a request that failed; with correlation 0 it is about the connection, which closes after it.
    Error,
    /// Brings frames to a subscription.
    Push,
    /// Ends a subscription.
    LastPush,
}

impl Kind {
    const fn flags(self) -> u16 {
        match self {
            Self::Request => 0,
            Self::Answer => FLAG_ANSWER,
            Self::Error => FLAG_ANSWER | FLAG_ERROR,
            Self::Push => FLAG_PUSH,
            Self::LastPush => FLAG_PUSH | FLAG_END,
        }
    }

    const fn from_flags(flags: u16) -> Option<Self> {
        const ERROR: u16 = Kind::Error.flags();
        const LAST_PUSH: u16 = Kind::LastPush.flags();
        match flags {
            0 => Some(Self::Request),
            FLAG_ANSWER => Some(Self::Answer),
            ERROR => Some(Self::Error),
            FLAG_PUSH => Some(Self::Push),
            LAST_PUSH => Some(Self::LastPush),
            _ => None,
        }
    }

    const fn arrives_at(self) -> Side {
        match self {
            Self::Request => Side::Server,
            Self::Answer | Self::Error | Self::Push | Self::LastPush => Side::Client,
        }
    }
}

/// A decoded head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// CRC-32 (IEEE) of the rest of the head and the args.
    pub head_crc: u32,
    /// The protocol version the message is written in.
    pub version: u8,
    /// The operation's number; [`Opcode::from_code`] knows whether it exists.
    pub opcode: u8,
    /// What the message is.
    pub kind: Kind,
    /// Bytes of args after the head.
    pub args_len: u32,
    /// Bytes of body after the args.
    pub body_len: u32,
    /// CRC-32 (IEEE) of the body of a request; 0 where the body consists of frames, which check themselves.
    pub body_crc: u32,
    /// Chosen by the client, repeated in every answer and push. 0 speaks of the connection itself.
    pub correlation: u64,
}

/// Why the bytes on a connection are not a message. There is no telling where the next one starts: the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    /// Fewer bytes than a head.
    #[error("a head has {HEAD_BYTES} bytes, there are {have}")]
    Truncated {
        /// Bytes there.
        have: usize,
    },
    /// The first four bytes are not the magic.
    #[error("magic is {0:#010x}, not {MAGIC:#010x}")]
    Magic(u32),
    /// A version this code does not speak.
    #[error("protocol version {0}, this end speaks {VERSION_MIN} to {VERSION}")]
    Version(u8),
    /// A combination of flags without meaning.
    #[error("flags {0:#06x} mean nothing")]
    Flags(u16),
    /// A request to a client, or an answer or push to a node.
    #[error("a message of kind {kind:?} cannot arrive at the {side:?} side")]
    Direction {
        /// What the message is.
        kind: Kind,
        /// Where it arrived.
        side: Side,
    },
    /// Correlation 0 on anything but an error.
    #[error("correlation 0 is kept for errors of the connection")]
    Correlation,
    /// The args exceed their limit.
    #[error("{len} bytes of args exceed the limit of {ARGS_BYTES_MAX}")]
    ArgsTooLarge {
        /// What the head claims.
        len: u32,
    },
    /// The body exceeds its limit.
    #[error("a body of {len} bytes exceeds the limit of {max}")]
    BodyTooLarge {
        /// What the head claims.
        len: u32,
        /// The limit in this direction.
        max: u32,
    },
    /// The checksum over head and args does not match.
    #[error("head checksum is {computed:#010x}, the head says {stored:#010x}")]
    Checksum {
        /// What the head says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
}

impl HeadError {
    /// The error a node sends, with correlation 0, before it closes the connection.
    #[must_use]
    pub fn answer(&self) -> ErrorAnswer<'static> {
        let (code, a, b) = match *self {
            Self::Truncated { .. } | Self::Magic(_) | Self::Flags(_) | Self::Direction { .. } | Self::Correlation => {
                (ErrorCode::BadHead, 0, 0)
            }
            Self::Version(_) => (ErrorCode::UnsupportedVersion, VERSION_MIN.into(), VERSION.into()),
            Self::ArgsTooLarge { len } => (ErrorCode::TooLarge, len.into(), ARGS_BYTES_MAX.into()),
            Self::BodyTooLarge { len, max } => (ErrorCode::TooLarge, len.into(), max.into()),
            Self::Checksum { .. } => (ErrorCode::HeadChecksum, 0, 0),
        };
        ErrorAnswer::new(code).details(a, b).message(self.to_string())
    }
}

impl Head {
    /// The head at the start of `bytes`, as far as it can be checked alone: magic, version, flags, correlation and both
    /// lengths. The checksum needs the args: [`Head::check`].
    pub fn decode(bytes: &[u8], side: Side) -> Result<Self, HeadError> {
        let truncated = |_| HeadError::Truncated { have: bytes.len() };
        let mut r = Reader::new(bytes);
        let magic = r.u32("magic").map_err(truncated)?;
        if magic != MAGIC {
            return Err(HeadError::Magic(magic));
        }
        let rest = r.take(HEAD_BYTES - 4, "head").map_err(truncated)?;
        let mut r = Reader::new(rest);
        let mut read = || -> Result<_, crate::codec::DecodeError> {
            Ok((
                r.u32("head_crc")?,
                r.u8("version")?,
                r.u8("opcode")?,
                r.u16("flags")?,
                r.u32("args_len")?,
                r.u32("body_len")?,
                r.u32("body_crc")?,
                r.u64("correlation")?,
            ))
        };
        let (head_crc, version, opcode, flags, args_len, body_len, body_crc, correlation) =
            read().expect("the fields take the 28 bytes just taken");
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(HeadError::Version(version));
        }
        let kind = Kind::from_flags(flags).ok_or(HeadError::Flags(flags))?;
        if kind.arrives_at() != side {
            return Err(HeadError::Direction { kind, side });
        }
        if correlation == 0 && kind != Kind::Error {
            return Err(HeadError::Correlation);
        }
        if args_len > ARGS_BYTES_MAX {
            return Err(HeadError::ArgsTooLarge { len: args_len });
        }
        if body_len > side.body_bytes_max() {
            return Err(HeadError::BodyTooLarge { len: body_len, max: side.body_bytes_max() });
        }
        Ok(Self { head_crc, version, opcode, kind, args_len, body_len, body_crc, correlation })
    }

    /// Verifies the checksum over this head and its args.
    ///
    /// Panics if `args` has another length than the head says.
    pub fn check(&self, args: &[u8]) -> Result<(), HeadError> {
        assert_eq!(args.len(), self.args_len as usize, "the caller cuts the args by the head");
        let computed = self.sum(args);
        if computed != self.head_crc {
            return Err(HeadError::Checksum { stored: self.head_crc, computed });
        }
        Ok(())
    }

    /// Bytes of head, args and body together.
    #[must_use]
    pub const fn message_bytes(&self) -> usize {
        HEAD_BYTES + self.args_len as usize + self.body_len as usize
    }

    fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        out[4..8].copy_from_slice(&self.head_crc.to_le_bytes());
        out[8] = self.version;
        out[9] = self.opcode;
        out[10..12].copy_from_slice(&self.kind.flags().to_le_bytes());
        out[12..16].copy_from_slice(&self.args_len.to_le_bytes());
        out[16..20].copy_from_slice(&self.body_len.to_le_bytes());
        out[20..24].copy_from_slice(&self.body_crc.to_le_bytes());
        out[24..32].copy_from_slice(&self.correlation.to_le_bytes());
        out
    }

    fn sum(&self, args: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.encode()[SUMMED_FROM..]);
        hasher.update(args);
        hasher.finalize()
    }
}

/// What goes around the args of a message that is being written.
///
/// ```
/// use millstream::protocol::{Envelope, HEAD_BYTES, messages::Ping};
///
/// let mut out = Vec::new();
/// Envelope::request::<Ping>(7).encode(&Ping, &mut out);
/// assert_eq!(out.len(), HEAD_BYTES);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    opcode: u8,
    kind: Kind,
    correlation: u64,
    body_len: u32,
    body_crc: u32,
}

impl Envelope {
    /// Around a request with an answer. `correlation` is not 0.
    #[must_use]
    pub fn request<O: super::Operation>(correlation: u64) -> Self {
        Self::of(Kind::Request, O::OPCODE as u8, correlation)
    }

    /// Around a [`super::messages::Credit`], the one request without an answer. `correlation` is not 0.
    #[must_use]
    pub const fn credit(correlation: u64) -> Self {
        Self::of(Kind::Request, Opcode::Credit as u8, correlation)
    }

    /// Around the answer to a request that succeeded.
    #[must_use]
    pub const fn answer(opcode: Opcode, correlation: u64) -> Self {
        Self::of(Kind::Answer, opcode as u8, correlation)
    }

    /// Around an [`ErrorAnswer`]. `opcode` is the request's, known or not.
    #[must_use]
    pub const fn error(opcode: u8, correlation: u64) -> Self {
        Self::of(Kind::Error, opcode, correlation)
    }

    /// Around the [`ErrorAnswer`] that precedes the end of a connection.
    #[must_use]
    pub const fn connection_error() -> Self {
        Self::of(Kind::Error, 0, 0)
    }

    /// Around frames pushed to the subscription opened with `correlation` ([`super::messages::ReadState`]).
    #[must_use]
    pub const fn push(correlation: u64) -> Self {
        Self::of(Kind::Push, Opcode::Subscribe as u8, correlation)
    }

    /// Around the end of a subscription ([`super::messages::SubscriptionEnd`]).
    #[must_use]
    pub const fn last_push(correlation: u64) -> Self {
        Self::of(Kind::LastPush, Opcode::Subscribe as u8, correlation)
    }

    /// Announces a body of `len` bytes with checksum `crc` (0 where the body consists of frames). The caller sends the
    /// body itself right behind what [`Envelope::encode`] appended.
    #[must_use]
    pub const fn body(self, len: u32, crc: u32) -> Self {
        Self { body_len: len, body_crc: crc, ..self }
    }

    /// Appends head and args to `out`.
    ///
    /// Panics if the message breaks a limit of the protocol: such a message must never be built.
    pub fn encode<B: Write + AsMut<[u8]>>(&self, args: &impl Encode, out: &mut B) {
        let start = out.as_mut().len();
        out.put(&[0; HEAD_BYTES]);
        args.encode(out);
        let (head, args) = out.as_mut()[start..].split_at_mut(HEAD_BYTES);
        assert!(args.len() <= ARGS_BYTES_MAX as usize, "{} bytes of args exceed the limit", args.len());
        let mut fields = Head {
            head_crc: 0,
            version: VERSION,
            opcode: self.opcode,
            kind: self.kind,
            args_len: args.len() as u32,
            body_len: self.body_len,
            body_crc: self.body_crc,
            correlation: self.correlation,
        };
        let side = self.kind.arrives_at();
        assert!(self.body_len <= side.body_bytes_max(), "a body of {} bytes exceeds the limit", self.body_len);
        assert!(self.correlation != 0 || self.kind == Kind::Error, "correlation 0 is kept for errors");
        fields.head_crc = fields.sum(args);
        head.copy_from_slice(&fields.encode());
    }

    const fn of(kind: Kind, opcode: u8, correlation: u64) -> Self {
        Self { opcode, kind, correlation, body_len: 0, body_crc: 0 }
    }
}

#[cfg(test)]
mod tests;
