"""What every suite in Python shares: its surroundings, the cases it runs, and the lines of JSON it prints about them.

A suite is a list of functions, one per case. While a case runs, the client's own hook reports each call that the client
really made to `Report.call`; when the case ends, one line is printed for each operation that was called in it, and one for
the case itself. tests/clients/README.md defines the lines.
"""

import json
import os
import sys
import time
import traceback

ENDPOINT = os.environ.get("MILLSTREAM_ENDPOINT", "http://127.0.0.1:4567")
KEYED_ENDPOINT = os.environ.get("MILLSTREAM_KEYED_ENDPOINT")
# The node whose clock `set_clock` moves.
CLOCKED_ENDPOINT = os.environ.get("MILLSTREAM_CLOCKED_ENDPOINT")
SCHEME = ENDPOINT.split(":")[0]
REGION = os.environ.get("AWS_REGION", "eu-west-1")

SPACE = 1 << 128


class Report:
    def __init__(self, client):
        self.client = client
        self.case = None
        self.calls = {}
        self.failed = 0
        # All operations answered with success, in whatever case.
        self.answered = set()

    def call(self, operation, encoding, transport, status):
        """The client's hook saw an answer."""
        seen = self.calls.setdefault((operation, encoding, transport), [0, 0])
        seen[0] += 1
        if 200 <= status < 300:
            seen[1] += 1
            self.answered.add(operation)

    def measure(self, name, value):
        self.line(measure=name, value=value)

    def line(self, **more):
        print(json.dumps({"client": self.client, "scheme": SCHEME, "case": self.case, **more}), flush=True)

    def version(self, version):
        self.line(version=version)

    def run(self, cases):
        """Runs the cases (those named on the command line, or all), and ends the process by what became of them."""
        wanted = sys.argv[1:]
        for case in cases:
            self.case = case.__name__.replace("_", " ")
            if not wanted or self.case in wanted:
                self.run_one(case)
        sys.exit(1 if self.failed else 0)

    def run_one(self, case):
        self.calls = {}
        started = time.monotonic()
        error = None
        try:
            case()
        except Exception as failure:
            self.failed += 1
            error = f"{type(failure).__name__}: {failure}"
            traceback.print_exc()
        ok = error is None
        for (operation, encoding, transport), (calls, answered) in sorted(self.calls.items()):
            self.line(operation=operation, encoding=encoding, transport=transport, calls=calls, answered=answered, ok=ok)
        self.line(ok=ok, seconds=round(time.monotonic() - started, 2), **({} if ok else {"error": error[:2000]}))


def equal(got, expected, what="value"):
    if got != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {got!r}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def until(what, seconds, condition):
    """Waits for a condition with a deadline, and gives what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def set_clock(ahead):
    """Moves the clock of the node at CLOCKED_ENDPOINT, to `+301s` ahead of the true time for example."""
    clock = os.environ["MILLSTREAM_CLOCK_FILE"]
    with open(f"{clock}.new", "w") as new:
        new.write(ahead)
    # The node reads the file whenever it asks for the time: never half of it.
    os.replace(f"{clock}.new", clock)


def check_order(records):
    """`records` are (key, number) in the order they were read: the numbers of each key must be 0, 1, 2, ..."""
    last = {}
    for key, number in records:
        equal(number, last.get(key, -1) + 1, f"the number after {last.get(key)} of key {key!r}")
        last[key] = number
    return last
