//! One connection: two sides and a stream of bytes in each direction. Direction 0 goes from side 0 to side 1.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::task::Waker;

use bytes::{BufMut, Bytes, BytesMut};

use crate::runtime::room::Room;
use crate::sim::HostId;
use crate::sim::prng::Prng;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) host: HostId,
    pub(crate) addr: SocketAddr,
    /// Somebody, if only the kernel, still holds it.
    pub(crate) open: bool,
    /// Neither reads nor writes any more.
    pub(crate) shut: bool,
    /// Writes no more.
    finished: bool,
    /// Does not even answer: its host lost power.
    pub(crate) silent: bool,
    /// A reset is on its way and waits for a partition to heal.
    pub(crate) reset_held: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
enum Segment {
    Data(Bytes),
    End,
}

#[derive(Debug, Default)]
struct Pipe {
    on_the_way: VecDeque<(u64, Segment)>,
    arrived: VecDeque<Bytes>,
    /// Bytes in both.
    bytes: usize,
    unread: usize,
    ended: bool,
    /// The sender is gone, and what it sent arrives all the same.
    late: bool,
    last_arrival_us: u64,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) sides: [Side; 2],
    pipes: [Pipe; 2],
}

impl Side {
    pub(crate) const fn new(host: HostId, addr: SocketAddr) -> Self {
        Self {
            host,
            addr,
            open: true,
            shut: false,
            finished: false,
            silent: false,
            reset_held: false,
            reset: false,
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.reader.take());
        wakers.extend(self.writer.take());
    }
}

impl Conn {
    /// The side that connected.
    pub(crate) const CLIENT: usize = 0;
    /// The side that accepted.
    pub(crate) const SERVER: usize = 1;

    pub(crate) fn new(client: Side, server: Side) -> Self {
        Self { sides: [client, server], pipes: Default::default() }
    }

    /// Whether a side is gone, and what it sent arrives all the same.
    pub(crate) const fn is_late(&self, side: usize) -> bool {
        self.pipes[side].late
    }

    /// Bytes that arrived in a direction and were not read.
    pub(crate) const fn unread(&self, direction: usize) -> usize {
        self.pipes[direction].unread
    }

    /// Reads on a side, less than there is if `short` is given; `None` if it has to wait.
    pub(crate) fn read(
        &mut self,
        side: usize,
        room: &mut Room<'_>,
        short: Option<&mut Prng>,
        waker: &Waker,
        wakers: &mut Vec<Waker>,
    ) -> Option<io::Result<usize>> {
        let pipe = &mut self.pipes[1 - side];
        if self.sides[side].shut {
            return Some(Ok(0));
        }
        if pipe.unread > 0 {
            let most = pipe.unread.min(room.remaining_mut());
            let want = short.map_or(most, |rng| 1 + rng.below(most as u64) as usize);
            let mut left = want;
            while left > 0 {
                let first = pipe.arrived.front_mut().expect("unread bytes have arrived");
                let piece = first.split_to(left.min(first.len()));
                left -= piece.len();
                room.put_slice(&piece);
                if first.is_empty() {
                    pipe.arrived.pop_front();
                }
            }
            pipe.unread -= want;
            pipe.bytes -= want;
            wakers.extend(self.sides[1 - side].writer.take());
            return Some(Ok(want));
        }
        if self.sides[side].reset {
            return Some(Err(ErrorKind::ConnectionReset.into()));
        }
        if pipe.ended {
            return Some(Ok(0));
        }
        self.sides[side].reader = Some(waker.clone());
        None
    }

    /// Takes what fits of `slices` into the window of `window_bytes`; `None` if it has to wait.
    pub(crate) fn take(
        &mut self,
        side: usize,
        slices: &[IoSlice<'_>],
        window_bytes: usize,
        waker: &Waker,
    ) -> Option<io::Result<Bytes>> {
        if self.sides[side].shut || self.sides[side].finished {
            return Some(Err(ErrorKind::BrokenPipe.into()));
        }
        if self.sides[side].reset {
            return Some(Err(ErrorKind::ConnectionReset.into()));
        }
        let room = window_bytes.saturating_sub(self.pipes[side].bytes);
        if room == 0 {
            self.sides[side].writer = Some(waker.clone());
            return None;
        }
        let mut taken = BytesMut::new();
        for slice in slices {
            let fits = slice.len().min(room - taken.len());
            taken.extend_from_slice(&slice[..fits]);
        }
        Some(Ok(taken.freeze()))
    }

    /// Sends bytes that arrive at `at_us`, or later behind what was sent before. Returns when.
    pub(crate) fn send(&mut self, side: usize, at_us: u64, bytes: Bytes) -> u64 {
        self.pipes[side].send(at_us, Segment::Data(bytes))
    }

    /// What is due by `now_us` in a direction arrives. Tells whether the receiving side refuses it with a reset.
    pub(crate) fn arrive(&mut self, direction: usize, now_us: u64, wakers: &mut Vec<Waker>) -> bool {
        let pipe = &mut self.pipes[direction];
        let to = &mut self.sides[1 - direction];
        let mut refused = false;
        while pipe.on_the_way.front().is_some_and(|(at_us, _)| *at_us <= now_us) {
            match pipe.on_the_way.pop_front() {
                Some((_, Segment::Data(data))) if to.shut || to.reset => {
                    pipe.bytes -= data.len();
                    refused |= !to.silent;
                }
                Some((_, Segment::Data(data))) => {
                    pipe.unread += data.len();
                    pipe.arrived.push_back(data);
                }
                Some((_, Segment::End)) => pipe.ended = true,
                None => break,
            }
            wakers.extend(to.reader.take());
        }
        refused
    }

    /// A side learns that the connection is gone. It may still read what arrived.
    pub(crate) fn reset(&mut self, side: usize, wakers: &mut Vec<Waker>) {
        let pipe = &mut self.pipes[side];
        if !pipe.late {
            let lost: usize = pipe.on_the_way.drain(..).map(|(_, segment)| segment.len()).sum();
            pipe.bytes -= lost;
        }
        self.sides[side].reset = true;
        self.sides[side].reset_held = false;
        self.sides[side].wake(wakers);
    }

    /// A side learns that the connection is gone; what it had sent arrives all the same, `later_us` later than it would have.
    /// Returns when, segment by segment.
    pub(crate) fn reset_late(&mut self, side: usize, later_us: u64, wakers: &mut Vec<Waker>) -> Vec<u64> {
        let pipe = &mut self.pipes[side];
        pipe.late = true;
        pipe.last_arrival_us += later_us;
        pipe.on_the_way.iter_mut().for_each(|(at_us, _)| *at_us += later_us);
        self.sides[side].reset = true;
        self.sides[side].wake(wakers);
        self.pipes[side].on_the_way.iter().map(|(at_us, _)| *at_us).collect()
    }

    /// Sides whose reset waited for a partition to heal.
    pub(crate) fn resets_held(&self) -> Vec<usize> {
        (0..2).filter(|&side| self.sides[side].reset_held).collect()
    }

    /// Ends both directions of a side. Returns when the other side learns of it, if it does not know yet.
    pub(crate) fn shutdown(&mut self, side: usize, earliest_us: u64, wakers: &mut Vec<Waker>) -> Option<u64> {
        let this = &mut self.sides[side];
        if this.shut {
            return None;
        }
        this.shut = true;
        this.wake(wakers);
        // Nobody reads what has arrived: it must not keep the other side waiting for room. What that one sends next is refused.
        let pipe = &mut self.pipes[1 - side];
        pipe.arrived.clear();
        pipe.bytes -= std::mem::take(&mut pipe.unread);
        wakers.extend(self.sides[1 - side].writer.take());
        self.finish(side, earliest_us)
    }

    /// Ends the sending direction of a side. Returns when the other side learns of it, if it does not know yet.
    pub(crate) fn finish(&mut self, side: usize, earliest_us: u64) -> Option<u64> {
        let this = &mut self.sides[side];
        if std::mem::replace(&mut this.finished, true) || this.reset {
            return None;
        }
        Some(self.pipes[side].send(earliest_us, Segment::End))
    }
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::End => 0,
        }
    }
}

impl Pipe {
    fn send(&mut self, at_us: u64, segment: Segment) -> u64 {
        self.last_arrival_us = self.last_arrival_us.max(at_us);
        self.bytes += segment.len();
        self.on_the_way.push_back((self.last_arrival_us, segment));
        self.last_arrival_us
    }
}
