#!/usr/bin/env python3
"""The node on real data: every stanza of this machine's Debian package index.

    tests/real_input.py [path of the millstream binary]

1. Starts a node on an empty directory and creates a stream of 4 shards.
2. Puts every stanza (about 60,000; key: the package's name) with one `millstream put`.
3. Kills the node with SIGKILL while that put runs, once it holds half of the records, and starts it again on the same
   directory and port. The put has to ride over it by itself: nothing is put a second time from here.
4. Reads the stream back, once by `get` and once by `tail`, and checks: every stanza is there once, byte for byte; in each
   shard, the records have the order they were put in (which holds for each key, too) and dense offsets from 0.

What it does not check: that records were synced rather than merely written; a killed process cannot show that.
Needs Python's standard library, apt-cache, and apt-get if the package index is empty.
"""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

STREAM = "packages"
SHARDS = 4
DEADLINE_S = 600


def main():
    binary = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/debug/millstream")
    stanzas = package_index()
    print(f"{len(stanzas)} stanzas, {sum(len(data) for _, data in stanzas)} bytes", flush=True)
    scratch = tempfile.mkdtemp(prefix="millstream-real-input-", dir=os.environ.get("MILLSTREAM_TEST_DIR", os.getcwd()))
    node = Node(binary, scratch)
    try:
        node.start()
        node.run("stream", "create", STREAM, "--shards", str(SHARDS))
        put_with_a_kill(node, stanzas, scratch)
        for command in ("get", "tail"):
            check(command, node.read_back(command), stanzas)
        node.stop()
    except BaseException:
        print(f"--- log of the node ---\n{node.log_tail()}", file=sys.stderr)
        raise
    finally:
        node.kill()
        shutil.rmtree(scratch, ignore_errors=True)
    print("real input: every stanza came back once, in order, byte for byte, by get and by tail.")


def package_index():
    """The stanzas as (key, data), in the order of the index."""
    text = subprocess.run(["apt-cache", "dumpavail"], check=True, stdout=subprocess.PIPE).stdout
    if text.count(b"\nPackage: ") < 1000:
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*sudo, "apt-get", "update", "-qq"], check=True)
        text = subprocess.run(["apt-cache", "dumpavail"], check=True, stdout=subprocess.PIPE).stdout
    stanzas = []
    for stanza in re.split(rb"\n\n+", text):
        if stanza.strip():
            name = re.search(rb"^Package: (\S+)$", stanza, re.MULTILINE)
            assert name, f"a stanza without a name: {stanza[:80]!r}"
            stanzas.append((name.group(1).decode(), stanza + b"\n"))
    assert len(stanzas) > 10_000, f"only {len(stanzas)} stanzas: no package index on this machine?"
    return stanzas


class Node:
    def __init__(self, binary, scratch):
        self.binary = binary
        self.data = os.path.join(scratch, "data")
        self.log = os.path.join(scratch, "node.log")
        self.process = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"

    def environment(self):
        """The caller's, without settings of its own."""
        return {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}

    def start(self):
        log = open(self.log, "ab")
        command = [self.binary, "serve", "--data", self.data, "--listen", self.address, "--kinesis-listen", "none"]
        # A CI disk may be nearly full; the thresholds are not what is tested here.
        command += ["--disk-warn", "0", "--disk-slow", "0", "--disk-refuse", "0"]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment())
        log.close()
        wait_until("the node answers", lambda: self.answers())

    def answers(self):
        assert self.process.poll() is None, f"the node ended with code {self.process.returncode}"
        command = [self.binary, "stream", "list", "--node", self.address, "--retry-for", "1s"]
        return subprocess.run(command, env=self.environment(), capture_output=True).returncode == 0

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=60)
        assert code == 0, f"the node ended with code {code} after SIGTERM"

    def command(self, *args):
        return [self.binary, *args, "--node", self.address]

    def run(self, *args):
        command = self.command(*args)
        return subprocess.run(command, check=True, env=self.environment(), stdout=subprocess.PIPE).stdout

    def records(self):
        """Records in the stream, as `describe` counts them."""
        described = json.loads(self.run("stream", "describe", STREAM, "--json"))
        return sum(shard["next_offset"] for shard in described["shards"])

    def read_back(self, command):
        """The records as (shard, offset, key, data)."""
        lines = self.run(command, STREAM, "--from", "horizon", "--json").splitlines()
        found = []
        for line in lines:
            record = json.loads(line)
            data = record["data"].encode() if "data" in record else base64.b64decode(record["base64"])
            found.append((record["shard"], record["offset"], record["key"], data))
        return found

    def log_tail(self):
        try:
            with open(self.log, "rb") as log:
                return log.read()[-8000:].decode(errors="replace")
        except FileNotFoundError:
            return "(none)"


def put_with_a_kill(node, stanzas, scratch):
    path = os.path.join(scratch, "stanzas.jsonl")
    with open(path, "w", encoding="ascii") as file:
        for key, data in stanzas:
            try:
                record = {"key": key, "data": data.decode()}
            except UnicodeDecodeError:
                record = {"key": key, "base64": base64.b64encode(data).decode()}
            file.write(json.dumps(record) + "\n")

    command = node.command("put", STREAM, "--json-records", "--batch", "50", "--quiet", "--retry-for", "2m")
    put = subprocess.Popen(command, stdin=subprocess.PIPE, env=node.environment())
    feeder = Feeder(put.stdin, path)
    feeder.start()
    half = len(stanzas) // 2
    wait_until(f"{half} records are stored", lambda: node.records() > half or put.poll() is not None, pause_s=0)
    assert put.poll() is None, f"the put ended (code {put.returncode}) before the node was killed"
    node.kill()
    feeder.killed.set()
    assert put.poll() is None, f"the put ended (code {put.returncode}) when the node was killed"
    print("killed the node half-way; starting it again", flush=True)
    node.start()
    print(f"{node.records()} records are there after the restart", flush=True)
    code = put.wait(timeout=DEADLINE_S)
    feeder.join(timeout=DEADLINE_S)
    assert code == 0, f"the put ended with code {code}"
    assert feeder.done, "the put did not take all of its input"


class Feeder(threading.Thread):
    """Feeds the put. From the middle on it trickles until the node was killed, so that the kill meets a running put
    and one that has much left to do, however fast the node is."""

    def __init__(self, pipe, path):
        super().__init__(daemon=True)
        self.pipe, self.path = pipe, path
        self.killed = threading.Event()
        self.done = False

    def run(self):
        with open(self.path, "rb") as file:
            lines = file.readlines()
        try:
            for number, line in enumerate(lines):
                self.pipe.write(line)
                if number >= len(lines) // 2 and number % 20 == 0 and not self.killed.is_set():
                    self.pipe.flush()
                    self.killed.wait(0.002)
            self.pipe.close()
            self.done = True
        except BrokenPipeError:
            pass


def check(command, found, stanzas):
    """Compares what was read with what was put."""
    # A name can have several stanzas (versions), even equal ones: the n-th of a key is matched with the n-th put.
    place = {}
    for position, (key, data) in enumerate(stanzas):
        place.setdefault(key, []).append((position, data))
    taken, next_offset, last_position = {}, {}, {}
    for shard, offset, key, data in found:
        where = f"{command}: shard {shard}, offset {offset}, key {key}"
        assert offset == next_offset.get(shard, 0), f"{where}: expected offset {next_offset.get(shard, 0)}"
        next_offset[shard] = offset + 1
        nth = taken.get(key, 0)
        taken[key] = nth + 1
        assert key in place, f"{where}: this key was never put"
        assert nth < len(place[key]), f"{where}: a duplicate"
        position, expected = place[key][nth]
        assert data == expected, f"{where}: the data differs from what was put"
        assert position > last_position.get(shard, -1), f"{where}: comes after a record that was put later"
        last_position[shard] = position
    missing = [key for key, all_of_it in place.items() if taken.get(key, 0) < len(all_of_it)]
    assert not missing, f"{command}: {len(missing)} keys have records missing, among them {missing[:5]}"
    assert len(next_offset) == SHARDS, f"{command}: records in {len(next_offset)} shards, expected {SHARDS}"
    print(f"{command}: {len(found)} records compared", flush=True)


def wait_until(what, condition, pause_s=0.1):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s until {what}"
        time.sleep(pause_s)


if __name__ == "__main__":
    main()
