//! Whatever is sent to the native port, intact messages in any order or no messages at all, the node goes on answering others.
//!
//! The input is pieces: a byte whose lowest bit says whether bytes follow as they are, else they are the args of a message; an
//! opcode, lengths of both parts in two bytes each, the parts.

use bytes::BytesMut;
use millstream::protocol::messages::{Hello, Ping};
use millstream::protocol::{Decoder, Envelope, FEATURES, Kind, Next, Side, VERSION, VERSION_MIN};

use super::cursor::Cursor;
use super::native_request::message;
use super::node::Node;

const HELLO: Hello<'static> =
    Hello { version_min: VERSION_MIN, version_max: VERSION, features: FEATURES, client: "fuzz", token: &[] };

/// Messages of one input.
const PIECES_MAX: usize = 32;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut hello = Vec::new();
    Envelope::request::<Hello<'_>>(1).encode(&HELLO, &mut hello);
    let mut cursor = Cursor(data);
    let mut pieces = Vec::new();
    // Most inputs say Hello first, as nothing else is taken before.
    if cursor.byte() % 8 != 7 {
        pieces.push(hello.clone());
    }
    while !cursor.is_empty() && pieces.len() < PIECES_MAX {
        let (mode, opcode) = (cursor.byte(), cursor.byte());
        let lens = (usize::from(cursor.short()), usize::from(cursor.short()));
        let (args, body) = (cursor.take(lens.0), cursor.take(lens.1));
        pieces.push(if mode % 2 == 1 { args.to_vec() } else { message(opcode, args, body) });
    }
    let node = Node::start();
    let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    node.disturb(node.native, &pieces);
    let mut ping = Vec::new();
    Envelope::request::<Ping>(2).encode(&Ping, &mut ping);
    let got = node.exchange(node.native, &[&hello, &ping], |got| kinds(got).len() == 2);
    assert_eq!(kinds(&got), [Kind::Answer, Kind::Answer]);
}

/// The kinds of the messages in `bytes`.
fn kinds(bytes: &[u8]) -> Vec<Kind> {
    let (mut decoder, mut buffer, mut kinds) = (Decoder::new(Side::Client), BytesMut::from(bytes), Vec::new());
    while let Ok(Next::Message(message)) = decoder.next(&mut buffer) {
        kinds.push(message.head.kind);
    }
    kinds
}
