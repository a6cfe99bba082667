"""The dialect of CBOR that the AWS SDK for Java speaks to Kinesis, and nothing more of CBOR.

Maps and arrays may have a definite or an indefinite length; blobs are byte strings; a timestamp is tag 1 and milliseconds.
"""

import struct

BREAK = object()


class Time(int):
    """Milliseconds since 1970."""


def encode(value, indefinite=True):
    """Bytes of a value: with maps of an indefinite length, as Java does it, or of a definite one."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, Time):
        return b"\xc1\x1b" + struct.pack(">Q", value)
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    if isinstance(value, list):
        items = b"".join(encode(item, indefinite) for item in value)
        return b"\x9f" + items + b"\xff" if indefinite else head(4, len(value)) + items
    if isinstance(value, dict):
        items = b"".join(encode(key) + encode(item, indefinite) for key, item in value.items())
        return b"\xbf" + items + b"\xff" if indefinite else head(5, len(value)) + items
    raise TypeError(f"{value!r}")


def head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for code, form, bound in ((24, ">B", 1 << 8), (25, ">H", 1 << 16), (26, ">I", 1 << 32), (27, ">Q", 1 << 64)):
        if number < bound:
            return bytes([major << 5 | code]) + struct.pack(form, number)
    raise ValueError(number)


def decode(data):
    """The value of bytes; there must be nothing behind it."""
    value, at = item(data, 0)
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the value")
    return value


def item(data, at):
    major, code = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if code == 31:
            return BREAK, at
        if code in (20, 21, 22):
            return {20: False, 21: True, 22: None}[code], at
        if code == 27:
            return struct.unpack(">d", data[at : at + 8])[0], at + 8
        raise ValueError(f"simple value {code}")
    if code == 31:
        number = None
    elif code < 24:
        number = code
    else:
        size = {24: 1, 25: 2, 26: 4, 27: 8}[code]
        number = int.from_bytes(data[at : at + size], "big")
        at += size
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        if number is None:
            raise ValueError("a string in pieces, which no SDK expects")
        raw = bytes(data[at : at + number])
        return (raw if major == 2 else raw.decode()), at + number
    if major == 6:
        value, at = item(data, at)
        if number != 1 or type(value) is not int:
            raise ValueError(f"tag {number} on {value!r}; only tag 1 on an integer is a timestamp")
        return Time(value), at
    items = []
    while number is None or len(items) < number * (major - 3):
        value, at = item(data, at)
        if value is BREAK:
            if number is not None:
                raise ValueError("a break in a value of definite length")
            break
        items.append(value)
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at
