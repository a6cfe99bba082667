"""boto3 against the node: every operation of the API that the node has."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "shared"))

import boto3
import cases_basic
import cases_more
import cases_push
from session import report

report.version(boto3.__version__)
report.run(cases_basic.CASES + cases_push.CASES + cases_more.CASES)
