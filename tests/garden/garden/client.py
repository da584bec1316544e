"""Sends a payload as an attacker would, and behind it an ordinary request as somebody else."""

import asyncio
import re

HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
TRACE_ID = re.compile(rb"^x-trace-id: [0-9a-f]{32}\r$", re.MULTILINE | re.IGNORECASE)
FOREIGN = re.compile(rb"/(?:g|by)/(p\d+z)")
# A connection that is silent for so long has nothing more to say.
QUIET = 0.25
# Nothing waits longer.
PATIENCE = 20
MOST_ANSWER = 1 << 20


class Findings:
    """Of one proxy and its origin."""

    def __init__(self):
        self.answers = 0
        self.without_trace_id = []
        self.wrong_answers = []


async def attack(port, payload, findings, quiet=QUIET):
    """The payload, until the proxy closes or falls silent."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        findings.wrong_answers.append(f"{payload.id}: cannot connect: {error}")
        return
    received = b""
    try:
        if payload.kept:
            writer.write(f"GET /g/{payload.id}/before HTTP/1.1\r\nHost: origin.test\r\n\r\n".encode())
            received += await until_quiet(reader, quiet, ends_with=f"GET /g/{payload.id}/before".encode())
        for n, piece in enumerate(payload.writes):
            if n:
                # So that it is a read of its own.
                await asyncio.sleep(0.02 if len(payload.writes) == 2 else 0)
            writer.write(piece)
            await writer.drain()
        received += await until_quiet(reader, quiet)
    except ConnectionError:
        pass
    finally:
        writer.close()
    judge(received, payload, findings)


async def until_quiet(reader, quiet, ends_with=None):
    received = b""
    while len(received) < MOST_ANSWER:
        try:
            piece = await asyncio.wait_for(reader.read(65536), PATIENCE if ends_with else quiet)
        except asyncio.TimeoutError:
            break
        except ConnectionError:
            break
        if not piece:
            break
        received += piece
        if ends_with and received.endswith(ends_with):
            break
    return received


def judge(received, payload, findings):
    for head in HEAD.finditer(received):
        if head[1].startswith(b"1"):
            continue
        findings.answers += 1
        if not TRACE_ID.search(head[2]):
            findings.without_trace_id.append(f"{payload.id} ({payload.family}, {payload.context}): {head[0][:120]!r}")
    for other in set(FOREIGN.findall(received)) - {payload.id.encode()}:
        findings.wrong_answers.append(f"{payload.id} got an answer to {other.decode()}")


async def bystander(port, payload, findings):
    """Another client's request, which must get its own answer."""
    target = f"/by/{payload.id}"
    request = f"GET {target} HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n"
    answer = b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request.encode())
        answer = await asyncio.wait_for(reader.read(-1), PATIENCE)
        writer.close()
    except (OSError, asyncio.TimeoutError) as error:
        findings.wrong_answers.append(f"bystander of {payload.id}: {error!r}")
        return
    expected = f"GET {target}".encode()
    if not answer.startswith(b"HTTP/1.1 200") or answer.partition(b"\r\n\r\n")[2] != expected:
        findings.wrong_answers.append(f"bystander of {payload.id} ({payload.family}, {payload.context}): {answer[:160]!r}")
