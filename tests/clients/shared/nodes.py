"""Nodes and stand-ins: started, waited for with a deadline, ended by their handles."""

import glob
import os
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PATIENCE_S = 60
# The second node stays in CREATING, UPDATING and DELETING for so long.
STATUS_DELAY_MS = 1500

KEYS = {
    "MILLSTREAM_KEY": "AKIDADMINISTRATOR000",
    "MILLSTREAM_SECRET": "administrator/secret+0000000000000000000",
    "MILLSTREAM_READER_KEY": "AKIDREADER0000000000",
    "MILLSTREAM_READER_SECRET": "reader/secret+00000000000000000000000000",
}

KEYS_FILE = """\
[[key]]
name = "administrator"
access_key_id = "{MILLSTREAM_KEY}"
secret_access_key = "{MILLSTREAM_SECRET}"

[[key]]
name = "reader"
access_key_id = "{MILLSTREAM_READER_KEY}"
secret_access_key = "{MILLSTREAM_READER_SECRET}"
allow = [{{ actions = ["kinesis:Get*", "kinesis:Describe*", "kinesis:List*"] }}]
"""

_next = os.getpid() % 499 * 24


def free_port():
    """A port below those that the kernel gives to outgoing connections."""
    global _next
    for _ in range(1000):
        port = 20_000 + _next % 12_000
        _next += 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def faketime_library():
    """What moves a node's clock. Without it a suite fails: nothing else shows what expires."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not found:
        raise RuntimeError("libfaketime is not installed: tests/clients/install, or apt-get install faketime")
    return found[0]


class Server:
    """A process that is ready once its port answers. What it says goes to a file."""

    def __init__(self, command, port, log, env=None):
        self.command, self.port, self.log, self.env = command, port, log, env
        self.process = None

    def start(self):
        with self.log.open("w") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.command} ended with {self.process.returncode}:\n{self.log.read_text()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"{self.command} does not answer after {PATIENCE_S} s:\n{self.log.read_text()}") from None
                time.sleep(0.05)

    def stop(self):
        """Ends it; gives what was wrong with how it ended."""
        if self.process is None:
            return []
        early = self.process.poll()
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return [f"{self.log.name}: did not end within {PATIENCE_S} s"]
        if early is not None:
            return [f"{self.log.name}: ended by itself with {early}"]
        return [f"{self.log.name}: ended with {code}"] if code not in (0, -15) else []


class Nodes:
    """The node that a client is run against, the one that verifies signatures, and those whose clocks the suite moves."""

    def __init__(self, client, binary, data, logs, endpoint=None):
        self.client, self.binary, self.data, self.logs, self.endpoint = client, binary, data, logs, endpoint
        self.ports, self.servers = {}, []

    def start(self):
        if self.endpoint:
            return
        self.data.mkdir(parents=True)
        keys = self.data / "keys.toml"
        keys.write_text(KEYS_FILE.format(**KEYS))
        keys.chmod(0o600)
        self.start_one("open", "--workers", "2")
        self.start_one("keyed", "--workers", "1", "--kinesis-keys-file", keys, "--kinesis-status-delay", STATUS_DELAY_MS)

    def start_clocked(self, scheme):
        """The node whose clock the suite moves: another one for each scheme, so that no clock ever goes back."""
        if self.endpoint:
            return
        clock = self.clock(scheme)
        clock.write_text("+0s")
        # The wall clock alone is moved: timers and deadlines of the node go by the monotonic one.
        faketime = {
            "LD_PRELOAD": faketime_library(), "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.start_one(f"clocked-{scheme}", "--workers", "1", environment=faketime)

    def start_one(self, name, *options, environment=None):
        native, kinesis = free_port(), free_port()
        command = [self.binary, "serve", "--data", self.data / name, "--listen", f"127.0.0.1:{native}"]
        command += ["--kinesis-listen", f"127.0.0.1:{kinesis}", *options]
        env = {key: value for key, value in os.environ.items() if not key.startswith("MILLSTREAM_")}
        log = self.logs / f"{self.client}-node{'' if name == 'open' else f'-{name}'}.log"
        server = Server([str(part) for part in command], kinesis, log, env | (environment or {}))
        self.servers.append(server)
        server.start()
        self.ports[name] = (native, kinesis)

    def clock(self, scheme):
        """The file that says by how much the clock of the node for this scheme is ahead."""
        return self.data / f"clock-{scheme}"

    def environment(self, scheme):
        if self.endpoint:
            # Nobody moves the clock of a node that was started elsewhere: there is no file for it.
            names = ("MILLSTREAM_ENDPOINT", "MILLSTREAM_KEYED_ENDPOINT", "MILLSTREAM_CLOCKED_ENDPOINT")
            return KEYS | dict.fromkeys(names, self.endpoint)
        variables = KEYS | {
            "MILLSTREAM_ENDPOINT": f"{scheme}://127.0.0.1:{self.ports['open'][1]}",
            "MILLSTREAM_KEYED_ENDPOINT": f"{scheme}://127.0.0.1:{self.ports['keyed'][1]}",
            "MILLSTREAM_BINARY": str(self.binary),
            "MILLSTREAM_NODE": f"127.0.0.1:{self.ports['open'][0]}",
        }
        if f"clocked-{scheme}" in self.ports:
            variables["MILLSTREAM_CLOCKED_ENDPOINT"] = f"{scheme}://127.0.0.1:{self.ports[f'clocked-{scheme}'][1]}"
            variables["MILLSTREAM_CLOCK_FILE"] = str(self.clock(scheme))
        if scheme == "https":
            variables["AWS_CA_BUNDLE"] = variables["NODE_EXTRA_CA_CERTS"] = str(self.authorities())
        return variables

    def authorities(self):
        """A file with the authorities of all nodes: each made its own."""
        together = self.data / "ca.pem"
        together.write_text("".join((self.data / name / "tls" / "ca.pem").read_text() for name in self.ports))
        return together

    def stop(self):
        problems = []
        for server in self.servers:
            problems += server.stop()
            if server.log.exists() and "panicked at" in server.log.read_text(errors="replace"):
                problems.append(f"{server.log.name}: a panic")
        return problems


class Moto(Server):
    """DynamoDB for the KCL: the server of moto."""

    def __init__(self, log):
        port = free_port()
        target = Path(__file__).resolve().parents[3] / "target" / "clients"
        super().__init__([str(target / "venv/bin/moto_server"), "-H", "127.0.0.1", "-p", str(port)], port, log)
        self.endpoint = f"http://127.0.0.1:{port}"


class CloudWatch(BaseHTTPRequestHandler):
    """Takes metrics and forgets them: moto knows the older protocols of CloudWatch only."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_metrics = self.path.endswith("/PutMetricData")
        self.send_response(200 if is_metrics else 404)
        self.send_header("smithy-protocol", "rpc-v2-cbor")
        self.send_header("Content-Type", "application/cbor")
        self.send_header("Content-Length", "1")
        self.end_headers()
        # An empty map.
        self.wfile.write(b"\xa0")

    def log_message(self, *_):
        pass

    @classmethod
    def start(cls):
        """The server, in a thread, and its endpoint."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), cls)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server, f"http://127.0.0.1:{server.server_address[1]}"
