#!/usr/bin/env python3
"""Writes src/kinesis/model/generated/ from the service model of Kinesis that botocore carries.

    tools/kinesis-model/generate.py            writes the files
    tools/kinesis-model/generate.py --check    exits with 1 if they are not what would be written
    tools/kinesis-model/generate.py --model service-2.json[.gz]

Only the standard library is used; botocore is asked for nothing but where its model file lies. The committed files come
from botocore 1.44.8; an older one has an older model, which --check takes for stale.
"""

import argparse
import gzip
import json
import pathlib
import re
import sys

OUT = pathlib.Path(__file__).resolve().parents[2] / "src/kinesis/model/generated"

# Operations of queues and channels answer as unknown operations do.
LEFT_OUT = re.compile("Queue|Channel")

# Every regular expression of the model has a matcher written by hand (model/pattern.rs). A new one must get its own.
PATTERNS = {
    "[a-zA-Z0-9_.-]+": "Name",
    r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+": "StreamArn",
    r"arn:aws.*:kinesis:.*:\d{12}:.*(stream|channel|queue)/\S+": "ResourceArn",
    r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+": "ConsumerArn",
    "[a-z0-9]{20}-[a-z0-9]{3}": "StreamId",
    r"^(0|([1-9]\d{0,38}))$": "HashKey",
    r"^(0|([1-9]\d{0,128}))$": "SequenceNumber",
}

# In which order the service checks members, as far as its messages were recorded: these first, these last, all others
# between them as in the model.
CHECKED_FIRST = ["Limit", "SequenceNumberForOrdering", "NewStartingHashKey", "PartitionKey", "ExplicitHashKey", "Data"]
CHECKED_LAST = ["StreamName", "ShardToSplit"]

# In which order the service lists the values of an enumeration, where its messages were recorded; else as in the model.
VALUES_LISTED = {
    "ShardIteratorType": ["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"],
}

# What the generator knows of a shape. Anything else in the model is news, and must be looked at.
KNOWN = {"type", "documentation", "required", "pattern", "enum", "key", "value", "member", "members", "min", "max",
         "exception", "fault", "event", "eventstream"}
KNOWN_OF_MEMBER = {"shape", "documentation", "contextParam"}

HEADER = """\
//! {what}
//!
//! Written by `tools/kinesis-model/generate.py` from the service model `kinesis/2013-12-02/service-2.json`; not edited
//! by hand.
"""


def find_model():
    """The model file of the botocore that is installed."""
    try:
        import botocore
    except ImportError:
        sys.exit("botocore is not installed: install it, or give --model")
    directory = pathlib.Path(botocore.__file__).parent / "data/kinesis/2013-12-02"
    for name in ["service-2.json.gz", "service-2.json"]:
        if (directory / name).exists():
            return directory / name
    sys.exit(f"no model in {directory}")


def read_model(path):
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return json.loads(data)


def constant(name):
    """StreamARN -> STREAM_ARN, MaxRecordSizeInKiB -> MAX_RECORD_SIZE_IN_KI_B."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).upper()


def text(value):
    assert '"#' not in value, value
    return f'r"{value}"' if "\\" in value else json.dumps(value)


def option(value):
    return "None" if value is None else f"Some({value})"


def bounds(shape):
    return f"{option(shape.get('min'))}, {option(shape.get('max'))}"


class Tables:
    def __init__(self, model):
        self.model = model
        self.operations = {n: o for n, o in sorted(model["operations"].items()) if not LEFT_OUT.search(n)}
        self.used = {}
        for operation in self.operations.values():
            for side in ["input", "output"]:
                if side in operation:
                    self.use(operation[side]["shape"])
        self.structures = {n: s for n, s in sorted(self.used.items()) if s["type"] == "structure"}
        self.values = {n: s for n, s in sorted(self.used.items()) if s["type"] != "structure"}

    def use(self, name, path=()):
        """Notes a shape and all it is made of."""
        if name in path:
            sys.exit(f"{name} contains itself, which the tables cannot say")
        if name in self.used:
            return
        shape = self.model["shapes"][name]
        if set(shape) - KNOWN:
            sys.exit(f"{name} has {set(shape) - KNOWN}, which the generator does not know")
        if shape.get("pattern") not in PATTERNS and "pattern" in shape:
            sys.exit(f"{name} has the pattern {shape['pattern']}: write a matcher in model/pattern.rs and name it here")
        self.used[name] = shape
        parts = list(shape.get("members", {}).values()) + [shape[k] for k in ["member", "key", "value"] if k in shape]
        for part in parts:
            if set(part) - KNOWN_OF_MEMBER:
                sys.exit(f"a member of {name} has {set(part) - KNOWN_OF_MEMBER}, which the generator does not know")
            self.use(part["shape"], path + (name,))

    def value(self, name, shape):
        """The row of a shape that is no structure."""
        kind = shape["type"]
        if kind == "string" and "enum" in shape:
            values = VALUES_LISTED.get(name, shape["enum"])
            if sorted(values) != sorted(shape["enum"]):
                sys.exit(f"{name} has other values than VALUES_LISTED knows: {shape['enum']}")
            return f'enumeration("{name}", &[{", ".join(text(v) for v in values)}])'
        if kind == "string":
            pattern = PATTERNS.get(shape.get("pattern"))
            return f'string("{name}", {bounds(shape)}, {option(pattern and "Pattern::" + pattern)})'
        if kind in ["integer", "long", "blob"]:
            return f'{kind}("{name}", {bounds(shape)})'
        if kind in ["double", "boolean", "timestamp"]:
            return f'Shape {{ name: "{name}", kind: Kind::{kind.capitalize()} }}'
        if kind == "list":
            return f'list("{name}", &{self.path(shape["member"], "values")}, {bounds(shape)})'
        if kind == "map":
            return f'map("{name}", &{self.path(shape["key"], "values")}, &{self.path(shape["value"], "values")}, {bounds(shape)})'
        sys.exit(f"{name} is a {kind}, which the tables cannot say")

    def path(self, part, inside):
        """How the table of a shape is named in the file `inside`."""
        name = part["shape"]
        file = "structures" if self.used[name]["type"] == "structure" else "values"
        return constant(name) if file == inside else f"{file}::{constant(name)}"

    def members(self, shape):
        """The members in the order in which they are checked."""
        def rank(item):
            at, name = item
            if name in CHECKED_FIRST:
                return (0, CHECKED_FIRST.index(name))
            if name in CHECKED_LAST:
                return (2, CHECKED_LAST.index(name))
            return (1, at)

        names = [name for _, name in sorted(enumerate(shape.get("members", {})), key=rank)]
        return [(name, shape["members"][name], name in shape.get("required", [])) for name in names]

    def values_file(self):
        rows = [HEADER.format(what="Shapes of single values, lists and maps.")]
        rows.append("use super::structures;\nuse crate::kinesis::model::{\n"
                    "    Kind, Pattern, Shape, blob, enumeration, integer, list, long, map, string,\n};\n")
        for name, shape in self.values.items():
            rows.append(f"pub static {constant(name)}: Shape = {self.value(name, shape)};")
        rows.append("\n/// The regular expression of a pattern, as the service prints it.")
        rows.append("pub const fn regex(pattern: Pattern) -> &'static str {\n    match pattern {")
        used = {s.get("pattern") for s in self.values.values()}
        for regex, name in PATTERNS.items():
            if regex not in used:
                sys.exit(f"no shape has the pattern {regex} any more")
            rows.append(f"        Pattern::{name} => {text(regex)},")
        rows.append("    }\n}")
        return "\n".join(rows) + "\n"

    def structures_file(self):
        rows = [HEADER.format(what="Structures, their members in the order in which the service checks them.")]
        rows.append("use super::values;\nuse crate::kinesis::model::{Shape, optional, required, structure};\n")
        for name, shape in self.structures.items():
            members = self.members(shape)
            if not members:
                rows.append(f'pub static {constant(name)}: Shape = structure("{name}", &[]);')
                continue
            rows.append(f'pub static {constant(name)}: Shape = structure("{name}", &[')
            for member, part, is_required in members:
                kind = "required" if is_required else "optional"
                rows.append(f'    {kind}("{member}", &{self.path(part, "structures")}),')
            rows.append("]);")
        return "\n".join(rows) + "\n"

    def operations_file(self):
        rows = [HEADER.format(what="The operations, by name: input, output, errors.")]
        rows.append("use super::structures;\nuse crate::kinesis::model::Operation;\n")
        rows.append(f"pub static OPERATIONS: [Operation; {len(self.operations)}] = [")
        for name, operation in self.operations.items():
            output = "&" + self.path(operation["output"], "operations") if "output" in operation else None
            rows.append("    Operation {")
            rows.append(f'        name: "{name}",')
            rows.append(f'        input: &{self.path(operation["input"], "operations")},')
            rows.append(f"        output: {option(output)},")
            rows.append("        errors: &[")
            row = ""
            for error in sorted(error["shape"] for error in operation.get("errors", [])):
                word = f'"{error}",'
                if len(row) + len(word) > 100:
                    rows.append("            " + row.rstrip())
                    row = ""
                row += word + " "
            rows.append("            " + row.rstrip())
            rows.append("        ],\n    },")
        rows.append("];")
        return "\n".join(rows) + "\n"

    def files(self):
        return {
            "values.rs": self.values_file(),
            "structures.rs": self.structures_file(),
            "operations.rs": self.operations_file(),
        }


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="write nothing, exit with 1 if a file is stale")
    arguments.add_argument("--model", type=pathlib.Path, help="the model file, instead of botocore's")
    arguments = arguments.parse_args()
    stale = []
    for name, content in Tables(read_model(arguments.model or find_model())).files().items():
        path = OUT / name
        if not path.exists() or path.read_text() != content:
            stale.append(name)
            if not arguments.check:
                OUT.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
    if arguments.check and stale:
        sys.exit(f"stale: {', '.join(stale)}; run tools/kinesis-model/generate.py")


if __name__ == "__main__":
    main()
