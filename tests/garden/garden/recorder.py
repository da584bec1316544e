"""An origin that takes nothing but canonical HTTP/1.1: it counts requests and keeps every framing that is not."""

import asyncio
import re

LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-\"$-~]+) HTTP/1\.1")
FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t -~\x80-\xff]*)")
LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
CHUNK = re.compile(rb"0|[1-9A-Fa-f][0-9A-Fa-f]{0,15}")
# Names that another server might take for one that frames a message.
FRAMING = (b"content-length", b"transfer-encoding")
MOST_HEAD = 1 << 20


class NotCanonical(Exception):
    """What arrived has another reading."""


class Recorder:
    """Listens, counts, judges."""

    name = "recorder"

    def __init__(self):
        self.lines = []
        # What was not canonical, with the head or chunk line in question.
        self.faults = []
        self.server = None
        self.port = None

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=MOST_HEAD)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self):
        self.server.close()

    def requests(self):
        return self.lines

    async def serve(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except NotCanonical as fault:
            self.faults.append(str(fault))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            # The proxy hung up: a body that was cut off ends so.
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as cut:
            if cut.partial:
                raise NotCanonical(f"bytes that are no head: {cut.partial[:200]!r}") from cut
            return False
        method, target, framing = judge(head)
        self.lines.append(f"200 {method.decode()} {target.decode('latin-1')}")
        await body(reader, framing)
        said = method + b" " + target
        content = b"" if method == b"HEAD" else said
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(said), content))
        await writer.drain()
        return True


def judge(head):
    """Method, target, and how the body is framed: a length, or None for chunks."""
    line, *fields = head[:-4].split(b"\r\n")

    def fault(why, text=b""):
        return NotCanonical(f"{why}: {text[:200]!r} of {line[:100]!r}")

    request = LINE.fullmatch(line)
    if request is None:
        raise fault("request line")
    lengths, codings, hosts = [], [], 0
    for text in fields:
        field = FIELD.fullmatch(text)
        if field is None:
            raise fault("field", text)
        name, value = field[1].lower(), field[2]
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"host":
            hosts += 1
        elif name.replace(b"_", b"-") in FRAMING:
            raise fault("a name like one that frames", text)
    if hosts != 1:
        raise fault(f"{hosts} Host fields")
    if len(lengths) + len(codings) > 1:
        raise fault("more than one framing", b", ".join(lengths + codings))
    if codings:
        if codings[0] != b"chunked":
            raise fault("coding", codings[0])
        return request[1], request[2], None
    if lengths and LENGTH.fullmatch(lengths[0]) is None:
        raise fault("length", lengths[0])
    return request[1], request[2], int(lengths[0]) if lengths else 0


async def body(reader, length):
    """Reads one, strictly."""
    if length is not None:
        await reader.readexactly(length)
        return
    while True:
        line = await reader.readuntil(b"\n")
        size = line[:-2]
        if not line.endswith(b"\r\n") or CHUNK.fullmatch(size) is None:
            raise NotCanonical(f"chunk line: {line[:100]!r}")
        data = await reader.readexactly(int(size, 16) + 2) if int(size, 16) else await reader.readexactly(2)
        if data[-2:] != b"\r\n":
            raise NotCanonical(f"end of a chunk: {data[-10:]!r}")
        if not int(size, 16):
            return
