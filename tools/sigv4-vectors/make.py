#!/usr/bin/env python3
"""Makes src/kinesis/sigv4/tests/vectors.rs: signed requests that the node must find right.

    python3 make.py SUITE > ../../src/kinesis/sigv4/tests/vectors.rs && cargo fmt

SUITE is the folder `aws-signing-test-suite/v4` of the Rust crate aws-sigv4 (Apache-2.0), which is the test suite of AWS.
The other requests are signed by botocore: those of a real client are caught before they are sent, on a clock that stands.
Secrets are those of the documentation of AWS.
"""

import datetime
import json
import pathlib
import sys
import unittest.mock

import boto3
import botocore
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials

ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime.datetime(2015, 8, 30, 12, 36, 0, tzinfo=datetime.timezone.utc)


def text(value):
    return json.dumps(value, ensure_ascii=False)


def blob(value):
    return 'b"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in value) + '"'


def show(name, service, method, target, headers, body):
    path, _, query = target.partition("?")
    query = f"Some({text(query)})" if query else "None"
    headers = ", ".join(f"({text(key.lower())}, {text(value)})" for key, value in headers)
    print(f"Vector {{ name: {text(name)}, service: {text(service)}, method: {text(method)}, path: {text(path)},")
    print(f"query: {query}, headers: &[{headers}], body: {blob(body)} }},")


def suite(folder):
    for case in sorted(context.parent for context in folder.glob("*/context.json")):
        context = json.loads((case / "context.json").read_text())
        # Only S3 does not normalise paths.
        if not context["normalize"]:
            continue
        assert context["credentials"]["secret_access_key"] == SECRET
        for form in ["header", "query"]:
            # A token that is added after signing is what no service but IoT takes.
            if form == "query" and context.get("omit_session_token"):
                continue
            raw = (case / f"{form}-signed-request.txt").read_text()
            head, _, body = raw.partition("\n\n")
            first, *lines = head.split("\n")
            method, target = first.split(" ", 1)
            headers = []
            for line in lines:
                if line.startswith(" "):
                    # A header over several lines, which no HTTP library lets through: its line breaks are blanks.
                    headers[-1][1] += " " + line
                else:
                    headers.append(line.split(":", 1))
            show(f"suite, {case.name}, {form}", "service", method, target.removesuffix(" HTTP/1.1"), headers, body.encode())


class Caught(Exception):
    pass


def client(name, region, token, call):
    """What a client of boto3 would send."""
    session = boto3.Session(aws_access_key_id=ID, aws_secret_access_key=SECRET, aws_session_token=token)
    config = botocore.config.Config(user_agent="boto3 signs no  user-agent")
    kinesis = session.client("kinesis", region_name=region, endpoint_url="http://localhost:4567", config=config)

    def caught(request, **_):
        plain = lambda value: value.decode() if isinstance(value, bytes) else value
        # Neither is signed, and the first is another each time.
        unsigned = ["amz-sdk-invocation-id", "amz-sdk-request"]
        headers = [(key, plain(value)) for key, value in request.headers.items() if key not in unsigned]
        # The HTTP library adds it.
        headers.append(("Host", "localhost:4567"))
        body = request.body if isinstance(request.body, bytes) else request.body.encode()
        show(name, "kinesis", request.method, "/", headers, body)
        raise Caught

    kinesis.meta.events.register("before-send.kinesis.*", caught)
    try:
        call(kinesis)
    except Caught:
        pass


def signed(name, signer, url, headers, body):
    """What a signer of botocore makes of a request."""
    request = botocore.awsrequest.AWSRequest(method="POST", url=url, headers=dict(headers), data=body)
    signer.add_auth(request)
    target = request.url.split("localhost:4567", 1)[1]
    headers = [*request.headers.items(), ("Host", "localhost:4567")]
    # The signer in the query takes the body into the query.
    body = request.data if isinstance(request.data, bytes) else request.data.encode()
    show(name, "kinesis", "POST", target, headers, body)


def main():
    print("//! Made by tools/sigv4-vectors/make.py with botocore", botocore.__version__, "and the test suite of AWS; not edited.")
    print("use super::Vector;")
    print("/// Signed requests, all right, of 2015-08-30 12:36:00 UTC.")
    print("pub const VECTORS: &[Vector] = &[")
    suite(pathlib.Path(sys.argv[1]))
    credentials = botocore.credentials.Credentials(ID, SECRET, None)
    target = {"X-Amz-Target": "Kinesis_20131202.ListStreams", "Content-Type": "application/x-amz-json-1.1"}
    with unittest.mock.patch("botocore.auth.get_current_datetime", lambda *_: NOW.replace(tzinfo=None)):
        client("boto3, ListStreams", "us-east-1", None, lambda kinesis: kinesis.list_streams())
        records = [{"Data": b"\x00\xff", "PartitionKey": "sch\u00f6n"}, {"Data": b"", "PartitionKey": "b"}]
        client("boto3, PutRecords with a token", "eu-central-1", "token/+==",
               lambda kinesis: kinesis.put_records(StreamName="orders", Records=records))
        header = botocore.auth.SigV4Auth(credentials, "kinesis", "cn-north-1")
        signed("botocore, odd path and query", header, "http://localhost:4567//a/./b/../c%20d/?z=1&a=b%2Fc&a=B", target, b"{}")
        signed("botocore, odd header", header, "http://localhost:4567/", {**target, "X-Amz-Meta": "  a   b "}, b"{}")
        query = botocore.auth.SigV4QueryAuth(credentials, "kinesis", "us-east-1", expires=900)
        signed("botocore, in the query", query, "http://localhost:4567/", target, b'{"Limit":1}')
        token = botocore.credentials.Credentials(ID, SECRET, "token/+==")
        query = botocore.auth.SigV4QueryAuth(token, "kinesis", "us-east-1", expires=604800)
        signed("botocore, in the query with a token", query, "http://localhost:4567/", target, b"{}")
    print("];")


main()
