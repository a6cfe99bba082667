//! The network: listeners, attempts to connect and byte streams between hosts, with latency, partitions and cuts.
//!
//! A stream keeps its order. Everything else is up to the seed: how a write is cut into segments, when each arrives, how
//! much a read returns. Bytes on their way or unread count against one window per direction, and a writer waits beyond it.
//!
//! This is the state and what happens to it when an event is due; [`stream`] holds the handles that tasks have.

pub(crate) mod conn;
pub(crate) mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::Waker;

use self::conn::{Conn, Side};
use self::stream::{SimReadHalf, SimWriteHalf};
use super::HostId;
use super::core::{Core, Crash, Due};
use super::options::NetOptions;
use super::prng::Prng;
use super::process::Process;
use super::slot::Slot;
use crate::runtime::room::Room;

/// Ports are given out from here when nobody asks for one in particular.
const FIRST_FREE_PORT: u16 = 32_768;

/// How long an attempt to connect waits before it tries again, into a partition or a full backlog.
const CONNECT_RETRY_US: u64 = 200_000;

/// Pieces that one write is cut into at most.
const SEGMENTS_MAX: u64 = 4;

/// Something the network does at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NetEvent {
    /// Segments of this connection and direction arrive.
    Arrive(u64, usize),
    /// This side of a connection learns that it was reset.
    Reset(u64, usize),
    /// An attempt to connect reaches the other host.
    Connect(u64),
}

type Connected = io::Result<(SimReadHalf, SimWriteHalf)>;

struct Attempt {
    process: Process,
    to: HostId,
    addr: SocketAddr,
    give_up_us: u64,
    slot: Rc<Slot<Connected>>,
}

struct Listening {
    host: HostId,
    addr: SocketAddr,
    shared: bool,
    queue: VecDeque<u64>,
    waker: Option<Waker>,
}

/// All listeners and connections of a simulation.
pub(crate) struct Network {
    pub(crate) options: NetOptions,
    pub(crate) rng: Prng,
    conns: BTreeMap<u64, Conn>,
    listeners: BTreeMap<u64, Listening>,
    attempts: BTreeMap<u64, Attempt>,
    partitions: BTreeSet<(HostId, HostId)>,
    next_port: BTreeMap<HostId, u16>,
}

/// The address of a host.
pub(crate) const fn ip_of(host: HostId) -> IpAddr {
    let [high, low] = host.0.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 0, high, low))
}

/// The host that `ip` means to `from`.
fn host_of(from: HostId, ip: IpAddr, hosts: usize) -> Option<HostId> {
    // As on Linux, connecting to the unspecified address means this machine.
    if ip.is_loopback() || ip.is_unspecified() {
        return Some(from);
    }
    (0..hosts).map(|index| HostId(index as u16 + 1)).find(|host| ip_of(*host) == ip)
}

fn ordered(a: HostId, b: HostId) -> (HostId, HostId) {
    (a.min(b), a.max(b))
}

impl Network {
    pub(crate) fn new(options: NetOptions, rng: Prng) -> Self {
        Self {
            options,
            rng,
            conns: BTreeMap::new(),
            listeners: BTreeMap::new(),
            attempts: BTreeMap::new(),
            partitions: BTreeSet::new(),
            next_port: BTreeMap::new(),
        }
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.rng.fingerprint()
    }

    /// Forgets everything; returns what the caller drops while nothing is borrowed.
    pub(crate) fn clear(&mut self) -> impl Sized + use<> {
        (std::mem::take(&mut self.conns), std::mem::take(&mut self.listeners), std::mem::take(&mut self.attempts))
    }

    pub(crate) fn conn(&mut self, conn: u64) -> Option<&mut Conn> {
        self.conns.get_mut(&conn)
    }

    /// Time of one segment between two hosts.
    pub(crate) fn latency_us(&mut self, a: HostId, b: HostId) -> u64 {
        let span = if a == b { self.options.loopback_us } else { self.options.latency_us };
        let delayed = a != b && self.rng.happens(self.options.delay);
        self.rng.within(span) + if delayed { self.rng.within(self.options.delay_us) } else { 0 }
    }

    fn partitioned(&self, a: HostId, b: HostId) -> bool {
        self.partitions.contains(&ordered(a, b))
    }

    // ---- listening

    fn free_port(&mut self, host: HostId) -> u16 {
        let next = self.next_port.entry(host).or_insert(FIRST_FREE_PORT);
        let port = *next;
        *next = next.checked_add(1).unwrap_or(FIRST_FREE_PORT);
        port
    }

    fn taken(&self, host: HostId, addr: SocketAddr, shared: bool) -> bool {
        self.listeners.values().any(|listening| {
            let overlap =
                listening.addr.ip() == addr.ip() || listening.addr.ip().is_unspecified() || addr.ip().is_unspecified();
            listening.host == host
                && listening.addr.port() == addr.port()
                && overlap
                && !(shared && listening.shared && listening.addr.ip() == addr.ip())
        })
    }

    pub(crate) fn listen(
        &mut self,
        number: u64,
        host: HostId,
        mut addr: SocketAddr,
        shared: bool,
    ) -> io::Result<SocketAddr> {
        let ip = addr.ip();
        if !(ip.is_loopback() || ip.is_unspecified() || ip == ip_of(host)) {
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        if addr.port() == 0 {
            while addr.port() == 0 || self.taken(host, addr, false) {
                addr.set_port(self.free_port(host));
            }
        } else if self.taken(host, addr, shared) {
            return Err(ErrorKind::AddrInUse.into());
        }
        self.listeners.insert(number, Listening { host, addr, shared, queue: VecDeque::new(), waker: None });
        Ok(addr)
    }

    /// The next connection of a listener; if there is none yet, `waker` is called when one comes.
    pub(crate) fn accept(&mut self, listener: u64, waker: &Waker) -> Option<io::Result<u64>> {
        let failed = self.options.accept_error;
        let listening = self.listeners.get_mut(&listener)?;
        let Some(conn) = listening.queue.pop_front() else {
            listening.waker = Some(waker.clone());
            return None;
        };
        if self.rng.happens(failed) {
            self.listeners.get_mut(&listener)?.queue.push_front(conn);
            return Some(Err(ErrorKind::ConnectionAborted.into()));
        }
        Some(Ok(conn))
    }

    /// A listener ends; connections that nobody accepted are reset.
    pub(crate) fn unlisten(&mut self, core: &Core, listener: u64, wakers: &mut Vec<Waker>) {
        for conn in self.listeners.remove(&listener).into_iter().flat_map(|listening| listening.queue) {
            self.abort(core, conn, Conn::SERVER, wakers);
        }
    }

    // ---- connecting

    /// Starts an attempt to connect; the slot hears of its end.
    pub(crate) fn connect(
        &mut self,
        process: &Process,
        number: u64,
        addr: SocketAddr,
        slot: Rc<Slot<Connected>>,
    ) -> io::Result<()> {
        let core = &process.core;
        let hosts = core.hosts.borrow().len();
        let to = host_of(process.host, addr.ip(), hosts).ok_or(ErrorKind::HostUnreachable)?;
        let give_up_us = core.now_us() + self.options.connect_timeout_us;
        let after_us = self.latency_us(process.host, to);
        self.attempts.insert(number, Attempt { process: process.clone(), to, addr, give_up_us, slot });
        core.schedule(after_us, Due::Net(NetEvent::Connect(number)));
        Ok(())
    }

    /// The listener that gets the next connection to `addr` of `to`, and whether it has room.
    fn listener_for(&mut self, to: HostId, addr: SocketAddr) -> Option<(u64, bool)> {
        let matching: Vec<(u64, bool)> = self
            .listeners
            .iter()
            .filter(|(_, listening)| {
                let local = listening.addr;
                let ip_matches = local.ip() == addr.ip() || local.ip().is_unspecified() || addr.ip().is_unspecified();
                listening.host == to && local.port() == addr.port() && ip_matches
            })
            .map(|(&number, listening)| (number, listening.queue.len() < self.options.backlog))
            .collect();
        match matching.len() {
            0 => None,
            count => Some(matching[self.rng.below(count as u64) as usize]),
        }
    }

    fn arrive_attempt(&mut self, core: &Rc<Core>, number: u64, wakers: &mut Vec<Waker>) -> Option<Answer> {
        let (from, to, addr, give_up_us) = {
            let attempt = self.attempts.get(&number)?;
            (attempt.process.host, attempt.to, attempt.addr, attempt.give_up_us)
        };
        let listener = if self.partitioned(from, to) { Some((0, false)) } else { self.listener_for(to, addr) };
        let result = match listener {
            None => Err(ErrorKind::ConnectionRefused.into()),
            Some((listener, true)) => {
                let client = SocketAddr::new(if from == to { addr.ip() } else { ip_of(from) }, self.free_port(from));
                let conn = core.number();
                self.conns.insert(conn, Conn::new(Side::new(from, client), Side::new(to, addr)));
                let listening = self.listeners.get_mut(&listener)?;
                listening.queue.push_back(conn);
                wakers.extend(listening.waker.take());
                Ok(conn)
            }
            Some((_, false)) if core.now_us() >= give_up_us => Err(ErrorKind::TimedOut.into()),
            Some((_, false)) => {
                core.schedule(CONNECT_RETRY_US, Due::Net(NetEvent::Connect(number)));
                return None;
            }
        };
        let attempt = self.attempts.remove(&number)?;
        core.note(Some(from), "connect ends", [number, u64::from(result.is_ok())], None);
        Some(Answer { attempt, result })
    }

    /// Forgets an attempt whose future was dropped.
    pub(crate) fn forget_attempt(&mut self, number: u64) -> Option<impl Sized + use<>> {
        self.attempts.remove(&number)
    }

    // ---- faults

    /// Partitions two hosts or heals the partition.
    pub(crate) fn partition(&mut self, core: &Core, a: HostId, b: HostId, on: bool) {
        if on {
            self.partitions.insert(ordered(a, b));
            return;
        }
        self.partitions.remove(&ordered(a, b));
        for number in self.between(|one, other| ordered(one, other) == ordered(a, b)) {
            for direction in 0..2 {
                let after_us = self.latency_us(a, b);
                core.schedule(after_us, Due::Net(NetEvent::Arrive(number, direction)));
            }
            let Some(conn) = self.conns.get_mut(&number) else { continue };
            for side in conn.resets_held() {
                let after_us = self.latency_us(a, b);
                core.schedule(after_us, Due::Net(NetEvent::Reset(number, side)));
            }
        }
    }

    fn between(&self, wanted: impl Fn(HostId, HostId) -> bool) -> Vec<u64> {
        let numbers = self.conns.iter().filter(|(_, conn)| wanted(conn.sides[0].host, conn.sides[1].host));
        numbers.map(|(&number, _)| number).collect()
    }

    /// Resets each connection of a host with a probability, at both ends at once or, with [`NetOptions::late_cut`], late at
    /// the end that accepted it. Returns how many.
    pub(crate) fn cut(
        &mut self,
        core: &Core,
        host: HostId,
        chance: super::options::Chance,
        wakers: &mut Vec<Waker>,
    ) -> usize {
        let mut count = 0;
        for number in self.between(|one, other| one == host || other == host) {
            if self.rng.happens(chance) {
                count += 1;
                let later_us = self.rng.happens(self.options.late_cut).then(|| self.rng.within(self.options.late_us));
                core.note(Some(host), "cut", [number, later_us.unwrap_or(0)], None);
                let Some(conn) = self.conns.get_mut(&number) else { continue };
                let Some(later_us) = later_us else {
                    conn.reset(Conn::CLIENT, wakers);
                    conn.reset(Conn::SERVER, wakers);
                    continue;
                };
                let arrivals = conn.reset_late(Conn::CLIENT, later_us, wakers);
                let last_us = arrivals.last().copied().unwrap_or(core.now_us()) + later_us;
                for at_us in arrivals {
                    core.schedule_at(at_us, Due::Net(NetEvent::Arrive(number, Conn::CLIENT)));
                }
                core.schedule_at(last_us, Due::Net(NetEvent::Reset(number, Conn::SERVER)));
            }
        }
        count
    }

    /// A host goes down.
    pub(crate) fn host_down(&mut self, core: &Core, host: HostId, how: Crash, wakers: &mut Vec<Waker>) {
        self.attempts.retain(|_, attempt| attempt.process.host != host);
        let listeners: Vec<u64> =
            self.listeners.iter().filter(|(_, one)| one.host == host).map(|(&number, _)| number).collect();
        for listener in listeners {
            self.listeners.remove(&listener);
        }
        for number in self.between(|one, other| one == host || other == host) {
            for side in 0..2 {
                let Some(conn) = self.conns.get(&number) else { break };
                if conn.sides[side].host != host {
                    continue;
                }
                match how {
                    // The kernel ends the connection: orderly if all was read, else with a reset. It may also be that
                    // bytes on their way are lost with it.
                    Crash::Kill if self.rng.coin() => self.close(core, number, side, wakers),
                    Crash::Kill => self.abort(core, number, side, wakers),
                    Crash::PowerLoss => self.vanish(core, number, side, wakers),
                }
            }
        }
    }

    // ---- connections

    /// Reads on one side of a connection; `None` if it has to wait.
    pub(crate) fn read(
        &mut self,
        number: u64,
        side: usize,
        room: &mut Room<'_>,
        waker: &Waker,
        wakers: &mut Vec<Waker>,
    ) -> Option<io::Result<usize>> {
        let conn = self.conns.get_mut(&number).expect("a connection lives as long as its halves");
        let short = self.rng.happens(self.options.short_read).then_some(&mut self.rng);
        conn.read(side, room, short, waker, wakers)
    }

    /// Sends what fits of `slices` on one side of a connection; `None` if it has to wait.
    pub(crate) fn write(
        &mut self,
        core: &Core,
        number: u64,
        side: usize,
        slices: &[IoSlice<'_>],
        waker: &Waker,
    ) -> Option<io::Result<usize>> {
        let conn = self.conns.get_mut(&number).expect("a connection lives as long as its halves");
        let (from, to) = (conn.sides[side].host, conn.sides[1 - side].host);
        let taken = match conn.take(side, slices, self.options.buffer_bytes, waker)? {
            Ok(taken) => taken,
            Err(error) => return Some(Err(error)),
        };
        let (count, mut rest) = (taken.len(), taken);
        let pieces = if self.rng.happens(self.options.split) { 1 + self.rng.below(SEGMENTS_MAX) } else { 1 };
        for piece in 1..=pieces {
            if rest.is_empty() {
                break;
            }
            let len = if piece == pieces { rest.len() } else { 1 + self.rng.below(rest.len() as u64) as usize };
            let at_us = core.now_us() + self.latency_us(from, to);
            let conn = self.conns.get_mut(&number).expect("nothing closed it meanwhile");
            let at_us = conn.send(side, at_us, rest.split_to(len));
            core.schedule_at(at_us, Due::Net(NetEvent::Arrive(number, side)));
        }
        Some(Ok(count))
    }

    /// Segments are due. Those of a partitioned pair wait until it heals.
    fn arrive(&mut self, core: &Core, number: u64, direction: usize, wakers: &mut Vec<Waker>) {
        let Some(conn) = self.conns.get(&number) else { return };
        if self.partitioned(conn.sides[0].host, conn.sides[1].host) {
            return;
        }
        let Some(conn) = self.conns.get_mut(&number) else { return };
        let refused = conn.arrive(direction, core.now_us(), wakers);
        core.note(Some(conn.sides[1 - direction].host), "arrive", [number, conn.unread(direction) as u64], None);
        if refused {
            self.send_reset(core, number, direction);
        }
    }

    /// Lets `side` learn, in a while, that the connection was reset.
    fn send_reset(&mut self, core: &Core, number: u64, side: usize) {
        let Some(conn) = self.conns.get(&number) else { return };
        let after_us = self.latency_us(conn.sides[0].host, conn.sides[1].host);
        core.schedule(after_us, Due::Net(NetEvent::Reset(number, side)));
    }

    fn arrive_reset(&mut self, core: &Core, number: u64, side: usize, wakers: &mut Vec<Waker>) {
        let Some(conn) = self.conns.get(&number) else { return };
        let (one, other) = (conn.sides[0].host, conn.sides[1].host);
        let partitioned = self.partitioned(one, other);
        let Some(conn) = self.conns.get_mut(&number) else { return };
        if partitioned {
            conn.sides[side].reset_held = true;
            return;
        }
        core.note(Some(conn.sides[side].host), "reset", [number, side as u64], None);
        conn.reset(side, wakers);
    }

    /// Sends the end of the stream after what was sent; with `both`, reads no more either.
    pub(crate) fn end(&mut self, core: &Core, number: u64, side: usize, both: bool, wakers: &mut Vec<Waker>) {
        let Some(conn) = self.conns.get(&number) else { return };
        let (from, to) = (conn.sides[side].host, conn.sides[1 - side].host);
        let at_us = core.now_us() + self.latency_us(from, to);
        let Some(conn) = self.conns.get_mut(&number) else { return };
        let told = if both { conn.shutdown(side, at_us, wakers) } else { conn.finish(side, at_us) };
        if let Some(at_us) = told {
            core.schedule_at(at_us, Due::Net(NetEvent::Arrive(number, side)));
        }
    }

    /// Both halves of a side were dropped: an orderly end, or a reset if something stayed unread.
    pub(crate) fn close(&mut self, core: &Core, number: u64, side: usize, wakers: &mut Vec<Waker>) {
        let Some(conn) = self.conns.get(&number) else { return };
        if conn.unread(1 - side) > 0 && !conn.sides[side].shut {
            self.abort(core, number, side, wakers);
            return;
        }
        self.end(core, number, side, true, wakers);
        self.leave(number, side);
    }

    /// A side ends with a reset; what it sent and did not arrive is lost.
    fn abort(&mut self, core: &Core, number: u64, side: usize, wakers: &mut Vec<Waker>) {
        let Some(conn) = self.conns.get_mut(&number) else { return };
        conn.reset(side, wakers);
        // The other side's reset is under way behind what arrives late.
        if !conn.is_late(side) {
            self.send_reset(core, number, 1 - side);
        }
        self.leave(number, side);
    }

    /// A side is gone without a word. The other one learns of it much later.
    fn vanish(&mut self, core: &Core, number: u64, side: usize, wakers: &mut Vec<Waker>) {
        let Some(conn) = self.conns.get_mut(&number) else { return };
        conn.reset(side, wakers);
        conn.sides[side].silent = true;
        let after_us = self.rng.within(self.options.power_loss_reset_us);
        core.schedule(after_us, Due::Net(NetEvent::Reset(number, 1 - side)));
        self.leave(number, side);
    }

    fn leave(&mut self, number: u64, side: usize) {
        let Some(conn) = self.conns.get_mut(&number) else { return };
        conn.sides[side].open = false;
        if conn.sides.iter().all(|side| !side.open) {
            self.conns.remove(&number);
        }
    }
}

/// The end of an attempt to connect, to be told once the network is no longer borrowed.
struct Answer {
    attempt: Attempt,
    result: io::Result<u64>,
}

impl Core {
    /// Lets the network do what is due.
    pub(crate) fn net_event(self: &Rc<Self>, event: NetEvent) {
        let answer = self.with_net(|net, wakers| match event {
            NetEvent::Arrive(conn, direction) => {
                net.arrive(self, conn, direction, wakers);
                None
            }
            NetEvent::Reset(conn, side) => {
                net.arrive_reset(self, conn, side, wakers);
                None
            }
            NetEvent::Connect(number) => net.arrive_attempt(self, number, wakers),
        });
        if let Some(Answer { attempt, result }) = answer {
            let halves = result.map(|conn| stream::halves(&attempt.process, conn, Conn::CLIENT, attempt.addr));
            if let Some(waker) = attempt.slot.fill(halves) {
                waker.wake();
            }
        }
    }
}
