"""Makes payloads of the descriptions in `corpus/*.toml`: each family's axes combined, each of that in every context."""

import itertools
import os
import tomllib
import zlib
from dataclasses import dataclass

# A head with these fields in front of it just fits into `max_header_bytes` of the runner's configuration.
DEEP = 64 * 1024
FIELD = 8_000


@dataclass(frozen=True)
class Payload:
    """Bytes to send, and how."""

    id: str
    family: str
    context: str
    writes: tuple
    # An ordinary request goes first, on the same connection.
    kept: bool = False


def start(raw):
    return (raw,)


def bytewise(raw):
    return tuple(raw[at : at + 1] for at in range(len(raw)))


def halves(raw):
    return (raw[: len(raw) // 2], raw[len(raw) // 2 :])


def deep(raw):
    """64 KiB of harmless fields behind the request line."""
    line, end, rest = raw.partition(b"\n")
    fields = b"".join(b"x-deep-%d: %s\r\n" % (n, b"x" * FIELD) for n in range(DEEP // (FIELD + 20)))
    return (line + end + fields + rest,)


# Name, how it is cut, and whether an ordinary request goes first.
CONTEXTS = (
    ("start", start, False),
    ("kept-alive", start, True),
    ("byte by byte", bytewise, False),
    ("two writes", halves, False),
    ("behind 64 KiB", deep, False),
)


def texts(folder):
    """Every combination of every family, as its name and its text."""
    for file in sorted(os.listdir(folder)):
        if not file.endswith(".toml"):
            continue
        with open(os.path.join(folder, file), "rb") as described:
            families = tomllib.load(described)["family"]
        for family in families:
            axes = {name: values for name, values in family.items() if isinstance(values, list)}
            for row in itertools.product(*axes.values()):
                text = family["text"]
                for name, value in zip(axes, row):
                    text = text.replace("{%s}" % name, value)
                yield family["name"], text


def payloads(folder, every=1):
    """All of them, or one in `every`: the same ones each time, of all families and contexts."""
    number = 0
    made = []
    for family, text in texts(folder):
        for context, cut, kept in CONTEXTS:
            number += 1
            id = f"p{number}z"
            if zlib.crc32(id.encode()) % every:
                continue
            raw = text.replace("{id}", id).encode("latin-1")
            made.append(Payload(id, family, context, cut(raw), kept))
    return made
