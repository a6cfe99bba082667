"""The document made of the results: which operation each client called, in which encoding, over what."""

LETTERS = {"json": "J", "cbor": "C"}

HEAD = """\
# Kinesis clients

Made by `tests/clients/run --write` from what ran; not written by hand. Each suite drives the unmodified client against the
real binary, over http and over https (the KPL over https, all it can do); each mark is a call that the client's own hook saw
answered with success, in a case that passed. [tests/clients/README.md](../tests/clients/README.md) says how.

"""


def table(lines, clients):
    calls = [line for line in lines if "operation" in line and line["ok"] and line["answered"]]
    return HEAD + "\n".join([operations(calls, clients), transports(lines, calls, clients), cases(lines, clients)])


def row(*cells):
    return "| " + " | ".join(cells) + " |\n"


def operations(calls, clients):
    out = "## Operations\n\nJ: called in JSON, C: in CBOR.\n\n"
    out += row("operation", *clients) + row("---", *("---" for _ in clients))
    for operation in sorted({call["operation"] for call in calls}):
        cells = []
        for client in clients:
            seen = {call["encoding"] for call in calls if (call["client"], call["operation"]) == (client, operation)}
            cells.append(" ".join(LETTERS[encoding] for encoding in ("json", "cbor") if encoding in seen))
        out += row(operation, *cells)
    total = len({call["operation"] for call in calls})
    counts = [len({call["operation"] for call in calls if call["client"] == client}) for client in clients]
    return out + row(f"of {total}", *map(str, counts))


def transports(lines, calls, clients):
    out = "## Clients\n\n" + row("client", "version", "over http", "over https") + row(*["---"] * 4)
    for client in clients:
        version = {line["version"] for line in lines if line["client"] == client and "version" in line}
        cells = []
        for scheme in ("http", "https"):
            seen = {call["transport"] for call in calls if (call["client"], call["scheme"]) == (client, scheme)}
            cells.append(", ".join(sorted(seen)).replace("http/", "HTTP/"))
        out += row(client, ", ".join(sorted(version)), *cells)
    return out


def cases(lines, clients):
    out = "## Cases\n\n"
    for client in clients:
        names = {}
        for line in lines:
            if line["client"] == client and "ok" in line and "operation" not in line:
                names.setdefault(line["case"], []).append(line["ok"])
        passed = [name for name, oks in names.items() if all(oks)]
        out += f"- **{client}** ({len(passed)}): {', '.join(passed)}\n"
    return out
