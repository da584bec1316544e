"""What a connection takes that nobody uses, and what a second worker costs."""

import socket
import statistics
import time

from . import contender, machine, measure, turns

# So many that one connection's share is far above the noise of a measurement.
IDLE = 2_000
# Until what a request took is given back.
SETTLE_SECONDS = 1
ASKED = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"


def asked_once(port):
    """A kept connection that has had one reply."""
    connection = socket.create_connection(("127.0.0.1", port), 5.0)
    connection.sendall(ASKED)
    reply = b""
    while not reply.endswith(b"x" * 1024):
        part = connection.recv(4096)
        if not part:
            raise contender.Broken(f"port {port} closed a connection that was to be kept")
        reply += part
    return connection


def idle(bench, one):
    """RSS that an idle connection takes, over so many of them that each had a reply before."""
    with bench.start(one) as running:
        kept = [asked_once(running.port)]
        time.sleep(SETTLE_SECONDS)
        before = machine.rss_bytes(running.pid)
        kept += [asked_once(running.port) for _ in range(IDLE)]
        time.sleep(SETTLE_SECONDS)
        after = machine.rss_bytes(running.pid)
        for connection in kept:
            connection.close()
    each = (after - before) / IDLE
    return {"rss_before": before, "rss_after": after, "bytes": each, "says": f"{each / 1024:.1f} KiB of RSS each, of {IDLE:,}"}


def workers(bench, binary, rounds, count):
    """CPU time a request of two workers over that of one, in turns and on the same core."""
    build = {number: contender.vestibule(binary, "vestibule-off.toml", WORKERS=number) for number in (1, 2)}
    every = [contender.Contender(f"workers-{number}", "", build[number]) for number in build]
    samples = [turns.together(bench, every, count, measure.CONNECTIONS) for _ in range(rounds)]
    ratio = statistics.median(each["workers-2"]["cpu_us"] / each["workers-1"]["cpu_us"] for each in samples)
    errors = sum(figures["errors"] + figures["refused"] for each in samples for figures in each.values())
    return {
        "rounds": samples,
        "cpu_ratio": ratio,
        "errors": errors,
        "says": f"a request costs two workers {ratio:.2f} × the CPU that it costs one; {rounds} rounds, {errors} errors",
    }
