"""The wire itself: every operation in both encodings, signatures, and what no SDK shows of an answer."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "shared"))

import cases_operations
import cases_wire
from wire import report

report.version("http.client of Python")
report.run(cases_operations.CASES + cases_wire.CASES)
