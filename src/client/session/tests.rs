use proptest::prelude::*;

use super::*;
use crate::protocol::messages::{
    Ping, PingAnswer, ReadState, Start, Stats, StatsAnswer, SubscribeAnswer, UnsubscribeAnswer,
};
use crate::protocol::{Encode, ErrorCode, HEAD_BYTES};
use crate::types::{GroupId, Offset, WallUs};

type Test = Session<&'static str, &'static str>;

fn hello(limits: Limits) -> BytesMut {
    let answer = HelloAnswer {
        version: VERSION,
        features: 0,
        node_id: 9,
        node_version: "test",
        worker: WorkerId(1),
        direct_ports: vec![7001, 0],
        limits,
        wall: WallUs(5),
        catalogue_version: 3,
    };
    message(Envelope::answer(Opcode::Hello, 1), &answer, b"")
}

fn message(envelope: Envelope, args: &impl Encode, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    envelope.body(body.len() as u32, 0).encode(args, &mut out);
    out.extend_from_slice(body);
    out
}

fn open_with(limits: Limits) -> Test {
    let mut session = Test::open("test", b"", &mut BytesMut::new());
    let Ok(Event::Opened(node)) = session.receive(&mut hello(limits)) else { panic!("the handshake failed") };
    assert_eq!((node.node_id, node.worker, &node.direct_ports[..]), (9, WorkerId(1), &[7001, 0][..]));
    session
}

fn open() -> Test {
    open_with(Limits::default())
}

fn pong(correlation: u64) -> BytesMut {
    message(Envelope::answer(Opcode::Ping, correlation), &PingAnswer { wall: WallUs(1) }, b"")
}

fn subscribed(session: &mut Test, credit: u32) -> u64 {
    let subscribe = Subscribe { group: GroupId(1), start: Start::At(Offset(0)), consumer: 0, credit };
    let id = session.subscribe(&subscribe, "asks", "reads", &mut BytesMut::new()).unwrap();
    let consent = SubscribeAnswer { from: Offset(0), horizon: Offset(0), end_offset: Offset(0) };
    let event = session.receive(&mut message(Envelope::answer(Opcode::Subscribe, id), &consent, b""));
    assert!(matches!(event, Ok(Event::Answer("asks", _))));
    id
}

fn push(id: u64, bytes: usize) -> BytesMut {
    let state = ReadState {
        next_offset: Offset(1),
        end_offset: Offset(1),
        horizon: Offset(0),
        last_arrival: WallUs(1),
        wall: WallUs(1),
        end_of_shard: false,
    };
    message(Envelope::push(id), &state, &vec![7; bytes])
}

/// Goal: the first bytes are a Hello, and an error to it is handed out as the reason of the end.
#[test]
fn greets_and_hears_refusals() {
    let mut out = BytesMut::new();
    let mut session = Test::open("test", b"secret", &mut out);
    let Ok(Next::Message(sent)) = Decoder::new(Side::Server).next(&mut out) else { panic!("no message was sent") };
    assert!(matches!(sent.request().unwrap(), crate::protocol::Request::Hello(hello) if hello.token == b"secret"));
    let refusal = ErrorAnswer::new(ErrorCode::Unauthorized);
    let event = session.receive(&mut message(Envelope::error(Opcode::Hello as u8, 1), &refusal, b""));
    assert!(matches!(event, Ok(Event::Closing(error)) if error.known() == Some(ErrorCode::Unauthorized)));
    let event = open().receive(&mut message(Envelope::connection_error(), &refusal, b""));
    assert!(matches!(event, Ok(Event::Closing(_))));
}

/// Goal: answers find their requests in any order, each once; an answer to nothing or of another operation is an error.
#[test]
fn answers_find_their_requests() {
    let mut session = open();
    let mut out = BytesMut::new();
    for waiter in ["a", "b", "c"] {
        session.request(&Ping, None, waiter, &mut out).unwrap();
    }
    assert_eq!((out.len(), session.in_flight()), (3 * HEAD_BYTES, 3));
    // The handshake was number 1.
    for (correlation, waiter) in [(4, "c"), (2, "a")] {
        assert!(matches!(session.receive(&mut pong(correlation)), Ok(Event::Answer(have, _)) if have == waiter));
    }
    let twice = session.receive(&mut pong(2)).unwrap_err();
    assert_eq!(twice, ProtocolError::UnexpectedAnswer { correlation: 2 });
    let wrong = message(Envelope::answer(Opcode::Stats, 3), &StatsAnswer { stats: vec![] }, b"");
    let wrong = session.receive(&mut { wrong }).unwrap_err();
    assert_eq!(wrong, ProtocolError::WrongOpcode { expected: Opcode::Ping as u8, have: Opcode::Stats as u8 });

    let mut session = open();
    session.request(&Stats::Node, None, "left", &mut out).unwrap();
    assert_eq!(session.end(), (vec!["left"], vec![]));
    assert_eq!(session.end(), (vec![], vec![]));
}

/// Goal: no more is in flight than the node allows, and an answer frees a place; limits of nothing are an error.
#[test]
fn the_nodes_limits_hold() {
    let mut session = open_with(Limits { in_flight_max: 2, subscriptions_max: 0, ..Limits::default() });
    let mut out = BytesMut::new();
    session.request(&Ping, None, "a", &mut out).unwrap();
    session.request(&Ping, None, "b", &mut out).unwrap();
    assert_eq!(session.request(&Ping, None, "c", &mut out), Err((Full, "c")));
    session.receive(&mut pong(2)).unwrap();
    let subscribe = Subscribe { group: GroupId(1), start: Start::At(Offset(0)), consumer: 0, credit: 1 };
    assert_eq!(session.subscribe(&subscribe, "c", "s", &mut out), Err((Full, "c")));
    session.request(&Ping, None, "c", &mut out).unwrap();

    let mut session = Test::open("test", b"", &mut out);
    let nothing = Limits { in_flight_max: 0, ..Limits::default() };
    assert_eq!(session.receive(&mut hello(nothing)).unwrap_err(), ProtocolError::Limits);
}

/// Goal: pushes go to their reader after the consent and within the credit, counted as the protocol does: the last one may
/// overdraw, the next needs a positive balance.
#[test]
fn pushes_stay_within_credit() {
    let mut session = open();
    let early = Subscribe { group: GroupId(1), start: Start::At(Offset(0)), consumer: 0, credit: 10 };
    let id = session.subscribe(&early, "asks", "reads", &mut BytesMut::new()).unwrap();
    let error = session.receive(&mut push(id, 1)).unwrap_err();
    assert_eq!(error, ProtocolError::UnexpectedPush { correlation: id });

    let mut session = open();
    let id = subscribed(&mut session, 10);
    for bytes in [9, 100] {
        assert!(matches!(session.receive(&mut push(id, bytes)), Ok(Event::Push("reads", _))));
    }
    let mut out = BytesMut::new();
    session.credit(id, 99, &mut out);
    session.credit(id, 0, &mut out);
    assert_eq!(out.len(), HEAD_BYTES + 12, "credit of nothing is not sent");
    session.credit(id, 1, &mut out);
    assert!(session.receive(&mut push(id, 1)).is_ok());
    assert_eq!(session.receive(&mut push(id, 1)).unwrap_err(), ProtocolError::NoCredit { correlation: id });
}

/// Goal: after an unsubscribe, pushes on their way are swallowed until its answer, and are an error after it.
#[test]
fn unsubscribe_swallows_what_is_under_way() {
    let mut session = open();
    let id = subscribed(&mut session, 100);
    let mut out = BytesMut::new();
    session.unsubscribe(id, "leaves", &mut out).unwrap();
    assert_eq!(session.unsubscribe(id, "again", &mut out), Err("again"));
    assert!(matches!(session.receive(&mut push(id, 50)), Ok(Event::Need(_))));
    let left = UnsubscribeAnswer { existed: true };
    let event = session.receive(&mut message(Envelope::answer(Opcode::Unsubscribe, id + 1), &left, b""));
    assert!(matches!(event, Ok(Event::Answer("leaves", _))));
    assert_eq!(session.receive(&mut push(id, 1)).unwrap_err(), ProtocolError::UnexpectedPush { correlation: id });

    let mut session = open();
    let id = subscribed(&mut session, 100);
    let end = SubscriptionEnd { next_offset: Offset(3), error: None, children: Vec::new() };
    let event = session.receive(&mut message(Envelope::last_push(id), &end, b""));
    assert!(matches!(event, Ok(Event::PushEnd("reads", _))));
    assert_eq!(session.unsubscribe(id, "late", &mut out), Err("late"));
}

/// Goal: every truncation waits for more, byte by byte, and the whole gives the same events as in one piece.
#[test]
fn bytes_may_come_one_by_one() {
    let mut session = open();
    let id = subscribed(&mut session, 1_000);
    let mut buffer = BytesMut::new();
    let whole = push(id, 300);
    for (at, byte) in whole.iter().enumerate() {
        buffer.extend_from_slice(&[*byte]);
        match session.receive(&mut buffer).unwrap() {
            Event::Need(bytes) => assert!(bytes < whole.len() - at, "{bytes} at {at}"),
            Event::Push(_, message) => assert_eq!((at, message.body.len()), (whole.len() - 1, 300)),
            other => panic!("{other:?}"),
        }
    }
    assert!(buffer.is_empty());
}

proptest! {
    /// Goal: nothing a node can send makes the session panic: flipped bytes of real messages, and noise.
    #[test]
    fn garbage_is_an_error(noise in proptest::collection::vec(any::<u8>(), 0..200), at in 0..400_usize, bits in 1..=255_u8) {
        let mut session = open();
        let id = subscribed(&mut session, 1_000);
        let mut bytes = push(id, 20);
        bytes.extend_from_slice(&pong(77));
        let end = bytes.len();
        bytes[at % end] ^= bits;
        bytes.extend_from_slice(&noise);
        while let Ok(event) = session.receive(&mut bytes) {
            if matches!(event, Event::Need(_)) {
                break;
            }
        }
        let _ = open().receive(&mut BytesMut::from(&noise[..]));
    }
}
