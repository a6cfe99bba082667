"""A client of the wire itself: HTTP/1.1 by the standard library, signed requests, both encodings, event streams."""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import ssl
import struct
import urllib.parse
import zlib

import cbor
from report import ENDPOINT, REGION, Report

report = Report("raw")


class Failure(Exception):
    """An answer that is an error."""

    def __init__(self, status, code, message, headers):
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.headers = status, code, message, headers


class Wire:
    """One connection that speaks one encoding."""

    def __init__(self, encoding, endpoint=ENDPOINT, key="any", secret="any", indefinite=True):
        self.encoding, self.key, self.secret, self.indefinite = encoding, key, secret, indefinite
        url = urllib.parse.urlsplit(endpoint)
        self.host = url.netloc
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
            self.connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=60)
        else:
            self.connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        self.content_type = f"application/x-amz-{encoding}-1.1"

    def __call__(self, operation, **members):
        """Calls an operation: gives its answer, or raises the Failure that came."""
        return self.answer(operation, self.send(operation, self.encode(members)))

    def encode(self, members):
        return cbor.encode(members, self.indefinite) if self.encoding == "cbor" else json.dumps(json_of(members)).encode()

    def decode(self, body):
        return (cbor.decode(body) if self.encoding == "cbor" else json.loads(body)) if body else None

    def send(self, operation, body, headers=None, path="/", sign=True):
        headers = {"Host": self.host, "Content-Type": self.content_type, "X-Amz-Target": f"Kinesis_20131202.{operation}", **(headers or {})}
        if sign:
            headers |= authorization(headers, path, body, self.key, self.secret)
        self.connection.request("POST", path, body, headers)
        return self.connection.getresponse()

    def answer(self, operation, response):
        kind = response.headers["Content-Type"]
        if response.status == 200 and kind == "application/vnd.amazon.eventstream":
            report.call(operation, self.encoding, "http/1.1", 200)
            return EventStream(self, response)
        body = response.read()
        report.call(operation, self.encoding, "http/1.1", response.status)
        if not response.headers["x-amzn-RequestId"]:
            raise AssertionError(f"no x-amzn-RequestId: {response.headers}")
        if response.status == 200:
            if body and kind != self.content_type:
                raise AssertionError(f"Content-Type {kind}")
            return self.decode(body)
        error = self.decode(body)
        raise Failure(response.status, error["__type"], error.get("message", error.get("Message")), response.headers)


def json_of(value):
    """The same members as JSON has them: blobs in base64, timestamps in seconds."""
    if isinstance(value, cbor.Time):
        return value / 1000
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [json_of(item) for item in value]
    if isinstance(value, dict):
        return {key: json_of(item) for key, item in value.items()}
    return value


def blob(value):
    """Bytes of a blob of an answer, in whichever encoding."""
    return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)


def authorization(headers, path, body, key, secret, now=None):
    """The headers that sign a request (Signature Version 4)."""
    now = now or datetime.datetime.now(datetime.timezone.utc)
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {name.lower(): value for name, value in headers.items()} | {"x-amz-date": stamp}
    names = ";".join(sorted(signed))
    digest = signed.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
    canonical = "\n".join(["POST", path, "", *(f"{n}:{signed[n]}" for n in sorted(signed)), "", names, digest])
    scope, signature = sign(canonical, stamp, secret)
    return {"X-Amz-Date": stamp, "Authorization": f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"}


def presigned(host, body, key, secret, expires=60):
    """The path and query that carry a signature instead of headers."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{key}/{stamp[:8]}/{REGION}/kinesis/aws4_request",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": "host",
    }
    text = "&".join(f"{n}={urllib.parse.quote(v, safe='')}" for n, v in sorted(query.items()))
    _, signature = sign("\n".join(["POST", "/", text, f"host:{host}", "", "host", hashlib.sha256(body).hexdigest()]), stamp, secret)
    return f"/?{text}&X-Amz-Signature={signature}"


def sign(canonical, stamp, secret):
    scope = f"{stamp[:8]}/{REGION}/kinesis/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return scope, hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class EventStream:
    """Frames of `application/vnd.amazon.eventstream`, each with its checksums checked."""

    def __init__(self, wire, response):
        self.wire, self.response = wire, response

    def exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.response.read(size - len(data))
            if not more:
                if data:
                    raise AssertionError(f"the stream ends in a frame, behind {data!r}")
                return None
            data += more
        return data

    def frame(self):
        """The next frame: its headers and its payload. None at the end."""
        prelude = self.exactly(12)
        if prelude is None:
            return None
        total, size, crc = struct.unpack(">III", prelude)
        if crc != zlib.crc32(prelude[:8]):
            raise AssertionError("checksum of the prelude")
        rest = self.exactly(total - 12)
        if struct.unpack(">I", rest[-4:])[0] != zlib.crc32(prelude + rest[:-4]):
            raise AssertionError("checksum of the frame")
        headers, at = {}, 0
        while at < size:
            end = at + 1 + rest[at]
            name, kind, length = rest[at + 1 : end].decode(), rest[end], struct.unpack(">H", rest[end + 1 : end + 3])[0]
            if kind != 7:
                raise AssertionError(f"type {kind} of header {name}")
            headers[name], at = rest[end + 3 : end + 3 + length].decode(), end + 3 + length
        return headers, rest[size:-4]

    def events(self):
        """The events, decoded, past the initial response."""
        headers, _ = self.frame()
        if headers.get(":event-type") != "initial-response":
            raise AssertionError(f"the first frame is {headers}")
        while (frame := self.frame()) is not None:
            headers, payload = frame
            if (headers[":message-type"], headers.get(":event-type")) != ("event", "SubscribeToShardEvent"):
                raise AssertionError(f"{headers} {payload!r}")
            if headers[":content-type"] != self.wire.content_type:
                raise AssertionError(f"{headers}")
            yield self.wire.decode(payload)

    def close(self):
        self.response.close()
        self.wire.connection.close()
