#!/usr/bin/env python3
"""Well-behaved clients beside a crowd that is not: what becomes of their latency, and of the node's memory.

    tests/hurt/abuse.py MILLSTREAM MILLSTREAM-BENCH [--connections 10000] [--shards 10000] [--seconds 15] [--rate 1000]

1. Starts a node on an empty directory and creates a stream of so many shards.
2. Measures well-behaved clients: open loop, read back by push, every record verified.
3. Starts the crowd, and measures the same again. The crowd is, all the time:
   - half of the connections: slow readers, who ask for a megabyte of records again and again and take a few bytes a second;
   - a quarter: connections to the native port that say nothing;
   - a quarter: connections to the HTTP port that never end the head of their request;
   - connections that come and go, a few hundred a second;
   - malformed requests to both ports: noise, and real requests with bytes changed; a few hundred a second.
   Whoever is thrown out comes back.
4. Sends the crowd away and measures once more.

Fails if a record is lost, doubled, changed or out of order; if the node is gone, or says that something panicked; if it holds
more memory than --memory meanwhile, or descriptors or much more memory than before afterwards. Prints percentiles and their ratios; what they
should be is no matter of this test, except that the median of the well-behaved stays far below a second.

Not checked: that each of the crowd gets the right answer. Needs Python's standard library and permission for so many descriptors.
"""

import argparse
import json
import os
import random
import resource
import selectors
import signal
import socket
import sys
import time

from node import Load, Node, percentile

TICK_S = 0.02
# Connections that come and go, and malformed requests, per tick: 300 a second each.
PER_TICK = 6
# The crowd is built up by so many connections a tick.
BUILD_UP = 100
# Memory that may stay: an allocator keeps some of what was needed once.
STAYS_BYTES = 256 << 20


class Crowd:
    """Runs in a process of its own, single-threaded, until it is told to end."""

    def __init__(self, node, connections, request, seed):
        self.native, self.http = ("127.0.0.1", node.native), ("127.0.0.1", node.http)
        self.request = request
        self.wanted = {self.slow: connections // 2, self.silent: connections // 4, self.endless: connections // 4}
        self.members = {kind: set() for kind in self.wanted}
        self.dice = random.Random(seed)
        self.selector = selectors.EpollSelector()
        self.thrown_out = self.malformed = self.passed_by = 0

    def connect(self, where):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        one.connect_ex(where)
        return one

    def slow(self):
        return self.connect(self.http), self.request * 4

    def silent(self):
        return self.connect(self.native), b""

    def endless(self):
        return self.connect(self.http), b"POST / HTTP/1.1\r\nHost: here\r\nX-Endless: "

    def join(self, kind):
        one, words = kind()
        self.members[kind].add(one)
        self.selector.register(one, selectors.EVENT_WRITE if words else selectors.EVENT_READ, (kind, words))

    def leave(self, one, kind):
        self.selector.unregister(one)
        self.members[kind].discard(one)
        one.close()

    def serve(self, one, kind, words, ready):
        try:
            if ready & selectors.EVENT_WRITE:
                one.send(words)
                self.selector.modify(one, selectors.EVENT_READ, (kind, b""))
            elif not one.recv(64):
                raise ConnectionError
        except BlockingIOError:
            pass
        except OSError:
            self.thrown_out += 1
            self.leave(one, kind)

    def pass_by(self):
        one = self.connect(self.dice.choice([self.native, self.http]))
        one.close()
        self.passed_by += 1

    def malform(self):
        where = self.dice.choice([self.native, self.http])
        noise = bytearray(self.request if self.dice.random() < 0.5 else self.dice.randbytes(self.dice.randrange(1, 400)))
        for _ in range(self.dice.randrange(1, 8)):
            noise[self.dice.randrange(len(noise))] = self.dice.randrange(256)
        with socket.socket() as one:
            one.settimeout(0.05)
            try:
                one.connect(where)
                one.sendall(noise)
                one.recv(1024)
            except OSError:
                pass
        self.malformed += 1

    def run(self, report):
        ended = []
        signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
        while not ended:
            tick = time.monotonic()
            for kind, wanted in self.wanted.items():
                for _ in range(min(BUILD_UP, wanted - len(self.members[kind]))):
                    self.join(kind)
            # Few of those who could read do, each in its turn: that is what makes them slow.
            able = self.selector.select(0)
            for key, ready in self.dice.sample(able, min(len(able), 200)):
                self.serve(key.fileobj, *key.data, ready)
            for _ in range(PER_TICK):
                self.pass_by()
                self.malform()
            report.write_text(json.dumps({
                "connected": sum(map(len, self.members.values())), "thrown_out": self.thrown_out,
                "malformed": self.malformed, "passed_by": self.passed_by,
            }))
            time.sleep(max(0.0, TICK_S - (time.monotonic() - tick)))


def start_crowd(node, args, request, report):
    pid = os.fork()
    if pid == 0:
        try:
            Crowd(node, args.connections, request, args.seed).run(report)
        except BaseException as error:  # noqa: BLE001 - the parent sees the exit code
            print(f"the crowd failed: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return pid


def end_crowd(pid):
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise SystemExit("the crowd failed")


def bait(node):
    """A request whose answer is a megabyte."""
    node.kinesis("CreateStream", StreamName="bait", ShardCount=1)
    data = "QUJD" * 2048
    for _ in range(40):
        records = [{"Data": data, "PartitionKey": "k"}] * 5
        node.kinesis("PutRecords", StreamName="bait", Records=records)
    shard = node.kinesis("ListShards", StreamName="bait")["Shards"][0]["ShardId"]
    start = node.kinesis("GetShardIterator", StreamName="bait", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    body = json.dumps({"ShardIterator": start["ShardIterator"], "Limit": 200}).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in Node.headers("GetRecords").items())
    return f"POST / HTTP/1.1\r\nHost: here\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def measure(name, node, args, worst):
    """Runs the well-behaved clients, and keeps the most memory and descriptors seen meanwhile."""
    load = Load(args.bench, node, args.seconds, "--rate", args.rate, "--shards", 4, "--record-size", 1024)
    while load.running():
        worst["memory"] = max(worst["memory"], node.resident_bytes())
        worst["descriptors"] = max(worst["descriptors"], node.descriptors())
        time.sleep(0.2)
    result = load.result()
    print(f"{name:>8}: " + "  ".join(
        f"{latency.replace('_', '-')} p50 {percentile(result, latency, 50.0):.2f} ms p99 {percentile(result, latency, 99.0):.2f} ms"
        for latency in ("put_ack", "put_to_get")) + f"  {result['put']['acked']:,} records"
        + (f"  ({'; '.join(result['verdict']['invalid'])})" if result["verdict"]["invalid"] else ""), flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("node")
    parser.add_argument("bench")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", type=int, default=2 << 30, help="bytes that the node may hold under the crowd")
    args = parser.parse_args()
    # A worker for each CPU, and the least that each needs.
    args.memory = max(args.memory, len(os.sched_getaffinity(0)) << 28)
    if args.seconds * args.rate < 11_000:
        parser.error("too few records for a 99th percentile: --seconds times --rate has to be 11,000")
    wanted = args.connections + 2_000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"{wanted} descriptors are needed, {hard} are allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    with Node(args.node, "--memory", args.memory) as node:
        node.run("stream", "create", "crowd", "--shards", args.shards)
        request = bait(node)
        calm, hurt = ({"memory": 0, "descriptors": 0} for _ in range(2))
        before = measure("alone", node, args, calm)
        memory, descriptors = node.resident_bytes(), node.descriptors()
        report = node.scratch / "crowd.json"
        crowd = start_crowd(node, args, request, report)
        try:
            while not report.exists() or json.loads(report.read_text() or "{}").get("connected", 0) < args.connections * 0.98:
                time.sleep(0.2)
                if os.waitpid(crowd, os.WNOHANG) != (0, 0):
                    raise SystemExit("the crowd ended by itself")
            beside = measure("beside", node, args, hurt)
        finally:
            end_crowd(crowd)
        print(f"the crowd: {report.read_text()}", flush=True)
        deadline = time.monotonic() + 60
        while node.descriptors() > descriptors and time.monotonic() < deadline:
            time.sleep(0.5)
        measure("after", node, args, {"memory": 0, "descriptors": 0})
        left = {"memory": node.resident_bytes(), "descriptors": node.descriptors()}
        for latency in ("put_ack", "put_to_get"):
            for which in (50.0, 99.0):
                ratio = percentile(beside, latency, which) / percentile(before, latency, which)
                print(f"{latency.replace('_', '-')} p{which:g}: {ratio:.1f} times as long beside the crowd")
        mib = lambda size: f"{size / (1 << 20):,.0f} MiB"
        print(f"memory: {mib(memory)} before, {mib(hurt['memory'])} at most beside the crowd, {mib(left['memory'])} afterwards")
        print(f"descriptors: {descriptors} before, {hurt['descriptors']} at most, {left['descriptors']} afterwards")
        wrong = []
        if "panicked" in node.said():
            wrong.append("something panicked")
        if node.process.poll() is not None:
            wrong.append("the node is gone")
        if hurt["memory"] > args.memory:
            wrong.append(f"it held {mib(hurt['memory'])}, {mib(args.memory)} are allowed")
        if left["memory"] > memory + STAYS_BYTES:
            wrong.append("memory did not come back")
        # Segments and indexes of the stream that was written meanwhile may be open.
        if left["descriptors"] > descriptors + 64:
            wrong.append("descriptors did not come back")
        if percentile(beside, "put_to_get", 50.0) > 1_000:
            wrong.append("well-behaved clients waited a second and more")
        if wrong:
            raise SystemExit(f"abuse: {'; '.join(wrong)}\n{node.said()[-2000:]}")
    print("abuse: the well-behaved were served, and nothing was left behind.")


if __name__ == "__main__":
    main()
