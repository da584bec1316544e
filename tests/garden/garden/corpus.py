"""Makes payloads of the descriptions in `corpus/*.toml`: each family's axes combined, each of that in every context."""

import itertools
import os
import random
import re
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


# What a mutation puts in: bytes and words that mean something to one parser or another.
WORDS = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\x0b", b"\x80", b"\xff", b'"', b"0", b"chunked", b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding", b"HTTP/1.0", b"HTTP/1.1", b"\r\n\r\n", b"0\r\n\r\n", b"_", b"+", b"0x", b"\r\n ",
)
NUMBERED = re.compile(rb"p\d+z")


def mutate(raw, draw):
    """One to four changes: a byte, a word put in or in place of some, a part taken out, doubled or moved."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(raw) + 1)
        end = min(len(raw), at + draw.randint(1, 12))
        change = draw.randrange(5)
        if change == 0 and at < len(raw):
            raw = raw[:at] + bytes([draw.randrange(256)]) + raw[at + 1 :]
        elif change == 1:
            raw = raw[:at] + draw.choice(WORDS) + raw[at:]
        elif change == 2:
            raw = raw[:at] + draw.choice(WORDS) + raw[end:]
        elif change == 3:
            raw = raw[:at] + raw[end:]
        else:
            to = draw.randrange(len(raw) + 1)
            raw = raw[:to] + raw[at:end] + raw[to:]
    return raw


def mutations(folder, number, seed):
    """So many payloads, each a described one with some of its bytes changed; the same ones for the same seed."""
    draw = random.Random(seed)
    described = list(texts(folder))
    made = []
    for n in range(number):
        family, text = draw.choice(described)
        _, cut, kept = draw.choice(CONTEXTS[:4])
        id = f"p{n}z"
        own = text.replace("{id}", id).encode("latin-1")
        raw = mutate(own, draw)
        # A change of the number would make it another payload's.
        while set(NUMBERED.findall(raw)) - {id.encode()}:
            raw = mutate(own, draw)
        made.append(Payload(id, family, f"changed, seed {seed}", cut(raw), kept))
    return made
