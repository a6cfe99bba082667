//! HTTP/2 by hand: frames as a client writes and reads them, so that nothing is tested against itself.

use std::collections::BTreeMap;

use crate::world::Conn;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

const HEADER_TABLE_SIZE: u16 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

const FRAME_BYTES_MAX: usize = 16 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

pub fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// Literal fields, without tables.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(0);
    for text in [name, value] {
        // A 7-bit prefix, then 7 bits at a time.
        match text.len() {
            len @ ..127 => out.push(len as u8),
            len => {
                out.push(127);
                let mut rest = len - 127;
                while rest >= 128 {
                    out.push(rest as u8 | 128);
                    rest >>= 7;
                }
                out.push(rest as u8);
            }
        }
        out.extend_from_slice(text.as_bytes());
    }
}

/// The head of a request.
pub fn headers(stream: u32, method: &str, path: &str, more: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [(":method", method), (":scheme", "http"), (":path", path), (":authority", "h")] {
        field(&mut block, name, value);
    }
    more.iter().for_each(|(name, value)| field(&mut block, name, value));
    frame(HEADERS, flags | END_HEADERS, stream, &block)
}

/// The status at the head of a block of fields.
fn status(block: &[u8]) -> u16 {
    // Changes of the table's size may come first.
    let block = &block[block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap()..];
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        0x48 | 0x08 if block[1] & 0x80 == 0 => std::str::from_utf8(&block[2..5]).unwrap().parse().unwrap(),
        0x48 | 0x08 => {
            // Huffman: 0, 1 and 2 have five bits, the other digits six.
            let bits: String = block[2..5].iter().map(|byte| format!("{byte:08b}")).collect();
            let (mut rest, mut digits) = (&bits[..], String::new());
            while digits.len() < 3 {
                let five = u32::from_str_radix(&rest[..5], 2).unwrap();
                let len = if five <= 2 { 5 } else { 6 };
                let code = u32::from_str_radix(&rest[..len], 2).unwrap();
                digits.push(char::from_digit(if len == 5 { code } else { code - 0b01_1001 + 3 }, 10).unwrap());
                rest = &rest[len..];
            }
            digits.parse().unwrap()
        }
        other => panic!("a block begins with {other:#x}"),
    }
}

/// An answer as far as it has come.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    pub ended: bool,
    pub reset: Option<u32>,
}

/// A client of HTTP/2 on a raw connection.
pub struct Client {
    pub conn: Conn,
    pub answers: BTreeMap<u32, Answer>,
    /// Acknowledgements of our settings.
    pub acks: usize,
    pub pongs: usize,
    pub goaway: Option<u32>,
    pub streams_max: u32,
    /// Bytes that may still be sent, on the connection and on a new stream.
    window: i64,
    initial_window: i64,
    windows: BTreeMap<u32, i64>,
    /// Gives back the windows of what it reads.
    pub reads: bool,
    next: u32,
}

impl Client {
    /// After the preface and the exchange of settings.
    pub async fn new(conn: Conn, settings: &[u8]) -> Self {
        let mut client = Self {
            conn,
            answers: BTreeMap::new(),
            acks: 0,
            pongs: 0,
            goaway: None,
            streams_max: 0,
            window: 65_535,
            initial_window: 65_535,
            windows: BTreeMap::new(),
            reads: true,
            next: 1,
        };
        // Without a table, every status is spelt out.
        let settings = [&setting(HEADER_TABLE_SIZE, 0), settings].concat();
        client.conn.send([PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat()).await;
        while client.acks == 0 {
            assert!(client.turn().await, "closed after the preface");
        }
        client
    }

    /// Takes in one frame; false at the end.
    pub async fn turn(&mut self) -> bool {
        let Some(head) = self.conn.exactly(9).await else { return false };
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        let Some(payload) = self.conn.exactly(len).await else { return false };
        self.take(Frame { kind, flags, stream, payload }).await;
        true
    }

    async fn take(&mut self, frame_in: Frame) {
        let Frame { kind, flags, stream, payload } = frame_in;
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match kind {
            SETTINGS if flags & ACK != 0 => self.acks += 1,
            SETTINGS => {
                for setting in payload.chunks(6) {
                    let value = u32::from_be_bytes(setting[2..].try_into().unwrap());
                    match u16::from_be_bytes(setting[..2].try_into().unwrap()) {
                        MAX_CONCURRENT_STREAMS => self.streams_max = value,
                        INITIAL_WINDOW_SIZE => self.initial_window = value.into(),
                        _ => {}
                    }
                }
                self.conn.send(frame(SETTINGS, ACK, 0, &[])).await;
            }
            PING if flags & ACK != 0 => self.pongs += 1,
            PING => {
                self.conn.send(frame(PING, ACK, 0, &payload)).await;
            }
            GOAWAY => self.goaway = Some(number(4)),
            WINDOW_UPDATE if stream == 0 => self.window += i64::from(number(0)),
            WINDOW_UPDATE => *self.windows.entry(stream).or_insert(self.initial_window) += i64::from(number(0)),
            RST_STREAM => self.answers.entry(stream).or_default().reset = Some(number(0)),
            HEADERS => {
                assert_ne!(flags & END_HEADERS, 0, "small heads only");
                let answer = self.answers.entry(stream).or_default();
                answer.status = status(&payload);
                answer.ended = flags & END_STREAM != 0;
            }
            DATA => {
                let answer = self.answers.entry(stream).or_default();
                answer.body.extend_from_slice(&payload);
                answer.ended = flags & END_STREAM != 0;
                if self.reads && !payload.is_empty() {
                    let len = payload.len() as u32;
                    let mut updates = window_update(0, len);
                    if flags & END_STREAM == 0 {
                        updates.extend(window_update(stream, len));
                    }
                    self.conn.send(updates).await;
                }
            }
            _ => {}
        }
    }

    /// Begins a request without ending it.
    pub async fn begin(&mut self, path: &str, more: &[(&str, &str)], flags: u8) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.windows.entry(stream).or_insert(self.initial_window);
        self.conn.send(headers(stream, "POST", path, more, flags)).await;
        stream
    }

    /// The bytes of many requests without bodies.
    pub fn posts(&mut self, path: &str, count: usize) -> Vec<u8> {
        let first = self.next;
        self.next += 2 * count as u32;
        (first..self.next).step_by(2).flat_map(|stream| headers(stream, "POST", path, &[], END_STREAM)).collect()
    }

    /// Sends a whole request, within the windows.
    pub async fn post(&mut self, path: &str, body: &[u8]) -> u32 {
        let len = body.len().to_string();
        let flags = if body.is_empty() { END_STREAM } else { 0 };
        let stream = self.begin(path, &[("content-length", &len)], flags).await;
        self.send_body(stream, body).await;
        stream
    }

    /// Sends a body, within the windows, until it is answered.
    pub async fn send_body(&mut self, stream: u32, mut rest: &[u8]) {
        while !rest.is_empty() {
            let window = self.window.min(self.windows[&stream]).max(0) as usize;
            let now = rest.len().min(FRAME_BYTES_MAX).min(window);
            if now == 0 {
                if self.answers.contains_key(&stream) || !self.turn().await {
                    return;
                }
                continue;
            }
            let flags = if now == rest.len() { END_STREAM } else { 0 };
            self.conn.send(frame(DATA, flags, stream, &rest[..now])).await;
            self.window -= now as i64;
            *self.windows.get_mut(&stream).unwrap() -= now as i64;
            rest = &rest[now..];
        }
    }

    /// The answer on a stream, once it has ended.
    pub async fn answer(&mut self, stream: u32) -> Answer {
        loop {
            if let Some(answer) = self.answers.get(&stream)
                && (answer.ended || answer.reset.is_some())
            {
                return self.answers.remove(&stream).unwrap();
            }
            assert!(self.turn().await, "closed before stream {stream} was answered");
        }
    }

    /// Until the node closes.
    pub async fn rest(&mut self) {
        while self.turn().await {}
    }
}
