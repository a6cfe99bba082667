"""A node and the load tool as processes, for the tests of this directory."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

# Exit codes of the load tool that say nothing of the node: the machine was busy, an objective was missed.
INVALID, MISSED = 4, 5


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """Runs on an empty directory of its own; ends and cleans up with the `with` block."""

    def __init__(self, binary, *options, prefix=(), environment=None):
        self.binary, self.options, self.prefix = binary, options, prefix
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        self.environment |= environment or {}

    def __enter__(self):
        where = os.environ.get("MILLSTREAM_TEST_DIR", os.path.dirname(os.path.abspath(self.binary)))
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="hurt-", dir=where))
        self.native, self.http = free_port(), free_port()
        command = [
            *self.prefix, self.binary, "serve", "--data", self.scratch / "data", "--listen", f"127.0.0.1:{self.native}",
            "--kinesis-listen", f"127.0.0.1:{self.http}", "--log-level", "warn", *self.options,
        ]
        self.log = self.scratch / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=self.environment)
        deadline = time.monotonic() + 60
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the node did not start:\n{self.said()}")
            time.sleep(0.05)
        self.pid = self.process.pid
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            print(f"--- log of the node ---\n{self.said()[-4000:]}", flush=True)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.http)) == 0

    def said(self):
        return self.log.read_text(errors="replace")

    def run(self, *words):
        """A command of the binary against this node."""
        command = [self.binary, *words, "--node", f"127.0.0.1:{self.native}"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=self.environment)
        if done.returncode != 0:
            raise SystemExit(f"{words}: {done.stderr}")
        return done.stdout

    def kinesis(self, operation, **members):
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=60)
        connection.request("POST", "/", json.dumps(members), self.headers(operation))
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"{operation}: {answer.status} {body[:300]!r}")
        return json.loads(body or b"{}")

    @staticmethod
    def headers(operation):
        return {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"Kinesis_20131202.{operation}"}

    def resident_bytes(self):
        return int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def disk_bytes(self):
        """What the files take on the disk. Files may go while they are looked at."""
        total = 0
        for directory, _, names in os.walk(self.scratch / "data"):
            for name in names:
                try:
                    total += os.stat(os.path.join(directory, name)).st_blocks * 512
                except FileNotFoundError:
                    pass
        return total


class Load:
    """A run of the load tool: well-behaved clients that verify all they read."""

    def __init__(self, bench, node, seconds, *options):
        self.out = node.scratch / f"load-{time.monotonic_ns()}.json"
        command = [
            bench, "run", "--node", f"127.0.0.1:{node.native}", "--read", "push", "--duration", f"{seconds}s", "--warmup", "2s",
            "--no-calibration", "--node-pid", node.pid, "--json", self.out, *options,
        ]
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def running(self):
        return self.process.poll() is None

    def result(self):
        """What it measured; ends everything if a record was lost, doubled, changed or out of order."""
        said, _ = self.process.communicate()
        if not self.out.exists():
            raise SystemExit(f"the load tool failed:\n{said[-4000:]}")
        result = json.loads(self.out.read_text())
        if result["verdict"]["failed"] or self.process.returncode not in (0, INVALID, MISSED):
            raise SystemExit(f"the load tool found fault:\n{said[-4000:]}")
        return result


def percentile(result, latency, which):
    """In milliseconds; None where there were too few samples."""
    for entry in result["latency"][latency]["percentiles"]:
        if entry["percentile"] == which:
            return entry["ns"] / 1e6
    return None
