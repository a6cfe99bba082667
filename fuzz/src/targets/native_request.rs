//! Requests of the native protocol: a message is cut off the stream the same way however it arrives, args that are accepted
//! are written as the same bytes again, and a message with a byte of head or args changed is refused.

use bytes::BytesMut;
use millstream::protocol::{Decoder, Encode, HEAD_BYTES, HeadError, MAGIC, Message, Next, Side, VERSION};

use super::cursor::Cursor;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut cursor = Cursor(data);
    if cursor.byte().is_multiple_of(2) {
        let piece = usize::from(cursor.byte()) + 1;
        let whole = cut(cursor.0, cursor.0.len().max(1));
        assert_eq!(cut(cursor.0, piece), whole, "in pieces of {piece} bytes");
        return;
    }
    let (opcode, at, with) = (cursor.byte(), usize::from(cursor.short()), cursor.byte());
    let body_len = usize::from(cursor.byte());
    let body = cursor.take(body_len).to_vec();
    let mut bytes = message(opcode, cursor.0, &body);
    let (messages, error) = cut(&bytes, bytes.len());
    assert_eq!(error, None);
    let [message] = &messages[..] else { panic!("one message was sent, {} arrived", messages.len()) };
    assert!(message.check_body().is_ok());
    match message.request() {
        Ok(request) => {
            let mut again = Vec::new();
            request.encode(&mut again);
            assert_eq!(again, message.args);
            assert_eq!(request.encoded_bytes(), again.len());
        }
        Err(error) => drop(error.answer()),
    }
    let at = at % bytes.len();
    if bytes[at] == with {
        return;
    }
    bytes[at] = with;
    let (messages, error) = cut(&bytes, bytes.len());
    if at < HEAD_BYTES + cursor.0.len() {
        // With a shorter length there may be bytes left over, with a longer one there are too few: nothing gets through.
        assert!(messages.is_empty(), "byte {at} is {with}: {messages:?}");
    } else {
        assert_eq!(error, None);
        assert!(messages[0].check_body().is_err(), "byte {at} is {with}");
    }
}

/// A whole request under right checksums.
pub fn message(opcode: u8, args: &[u8], body: &[u8]) -> Vec<u8> {
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("inputs are short").to_le_bytes();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + args.len() + body.len());
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&[VERSION, opcode, 0, 0]);
    bytes.extend_from_slice(&len(args));
    bytes.extend_from_slice(&len(body));
    bytes.extend_from_slice(&if body.is_empty() { 0 } else { crc32fast::hash(body) }.to_le_bytes());
    bytes.extend_from_slice(&7_u64.to_le_bytes());
    bytes.extend_from_slice(args);
    let crc = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The messages in `bytes`, which arrive in pieces, and what ends the connection.
fn cut(bytes: &[u8], piece: usize) -> (Vec<Message>, Option<HeadError>) {
    let mut decoder = Decoder::new(Side::Server);
    let (mut buffer, mut messages) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.next(&mut buffer) {
                Ok(Next::Message(message)) => messages.push(message),
                Ok(Next::Need(need)) => {
                    assert!(need > 0);
                    break;
                }
                Err(error) => {
                    drop(error.answer());
                    return (messages, Some(error));
                }
            }
        }
    }
    (messages, None)
}
