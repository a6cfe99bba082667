//! From received bytes to messages.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::{
    Decode, ErrorAnswer, ErrorCode, HEAD_BYTES, Head, HeadError, Kind, MAGIC, Operation, Request, RequestError, Side,
};
use crate::codec::DecodeError;

/// A whole message: a verified head, and args and body as parts of the buffer they were received in.
///
/// A part keeps that whole buffer alive. Whoever stores one for long copies it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The head, checksum verified.
    pub head: Head,
    /// The fields, covered by the head's checksum.
    pub args: Bytes,
    /// The bulk bytes, not looked at yet: see [`Message::check_body`].
    pub body: Bytes,
}

/// The body of a request is not the one its sender summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("body checksum is {computed:#010x}, the head says {stored:#010x}")]
pub struct BodyChecksumMismatch {
    /// What the head says.
    pub stored: u32,
    /// What the body gives.
    pub computed: u32,
}

impl BodyChecksumMismatch {
    /// The error that answers the request.
    #[must_use]
    pub fn answer(&self) -> ErrorAnswer<'static> {
        ErrorAnswer::new(ErrorCode::BodyChecksum)
            .details(self.stored.into(), self.computed.into())
            .message(self.to_string())
    }
}

impl Message {
    /// The request this message is. Its body stays unverified.
    pub fn request(&self) -> Result<Request<'_>, RequestError> {
        Request::decode(&self.head, &self.args)
    }

    /// What this message answers to a request of kind `O`: its result or the node's error. The outer error says that
    /// the node sent something that is neither.
    pub fn answer<O: Operation>(&self) -> Result<Result<O::Answer<'_>, ErrorAnswer<'_>>, DecodeError> {
        let invalid = |what, value: u8| DecodeError::Invalid { what, offset: 0, value: value.into() };
        if self.head.opcode != O::OPCODE as u8 {
            return Err(invalid("opcode of the answer", self.head.opcode));
        }
        match self.head.kind {
            Kind::Answer => O::Answer::decode(&self.args).map(Ok),
            Kind::Error => ErrorAnswer::decode(&self.args).map(Err),
            Kind::Request | Kind::Push | Kind::LastPush => Err(invalid("kind of the answer", 0)),
        }
    }

    /// Verifies the body of a request against the head. The one pass over a put's bytes before they are stored.
    pub fn check_body(&self) -> Result<(), BodyChecksumMismatch> {
        let (stored, computed) = (self.head.body_crc, crc32fast::hash(&self.body));
        if stored != computed {
            return Err(BodyChecksumMismatch { stored, computed });
        }
        Ok(())
    }
}

/// What [`Decoder::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole message, taken off the front of the buffer.
    Message(Message),
    /// At least this many more bytes are needed before more can be said. The claim behind it was held against its limit,
    /// and for a body against the head's checksum too: reserving this much is safe.
    Need(usize),
}

/// Cuts messages off a receive buffer. One per connection and direction.
///
/// After an error the connection is over; [`HeadError::answer`] is what a node says first.
#[derive(Clone, Debug)]
pub struct Decoder {
    side: Side,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Waits for a head.
    Head,
    /// Has a plausible head, waits for its args.
    Args(Head),
    /// Has a verified head, waits for the body.
    Body(Head),
}

impl Decoder {
    /// A decoder for what arrives at `side`.
    #[must_use]
    pub const fn new(side: Side) -> Self {
        Self { side, state: State::Head }
    }

    /// The next message of `buffer`, which is taken off its front without a copy, or how much is missing.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Next, HeadError> {
        loop {
            let need = match self.state {
                State::Head => HEAD_BYTES,
                State::Args(head) => HEAD_BYTES + head.args_len as usize,
                State::Body(head) => head.message_bytes(),
            };
            if buffer.len() < need {
                self.refuse_garbage(buffer)?;
                return Ok(Next::Need(need - buffer.len()));
            }
            self.state = match self.state {
                State::Head => State::Args(Head::decode(buffer, self.side)?),
                State::Args(head) => {
                    head.check(&buffer[HEAD_BYTES..need])?;
                    State::Body(head)
                }
                State::Body(head) => {
                    self.state = State::Head;
                    let whole = buffer.split_to(need).freeze();
                    let args_end = HEAD_BYTES + head.args_len as usize;
                    let (args, body) = (whole.slice(HEAD_BYTES..args_end), whole.slice(args_end..));
                    return Ok(Next::Message(Message { head, args, body }));
                }
            };
        }
    }

    /// The head of the message whose body is still arriving, already verified: for budgets and early refusals.
    #[must_use]
    pub const fn arriving(&self) -> Option<&Head> {
        match &self.state {
            State::Body(head) => Some(head),
            State::Head | State::Args(_) => None,
        }
    }

    /// Whoever speaks another protocol learns it from the first bytes, not from a timeout.
    fn refuse_garbage(&self, buffer: &BytesMut) -> Result<(), HeadError> {
        match (self.state, buffer.first_chunk()) {
            (State::Head, Some(magic)) if *magic != MAGIC.to_le_bytes() => {
                Err(HeadError::Magic(u32::from_le_bytes(*magic)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
