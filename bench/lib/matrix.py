"""CPU time by protocol, size and method, each in turns beside nginx."""

import statistics

from . import contender, keyed, measure, turns
from .contender import Contender

COLUMNS = ("nginx", "nginx-buffers", "vestibule-off", "vestibule-all", "vestibule-keyed")
# nginx reads replies in pieces of 4 KiB unless told otherwise, which many are who pass large ones through it.
BUFFERS = "proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k;"
# The handshakes of more connections would be a part of what a short run of turns measures.
TLS_CONNECTIONS = 16
# Of a body of 10 MiB few are under way and each takes long, so that those cut off at the end of a run weigh little.
BULK_CONNECTIONS, BULK_SECONDS = 2, 0.5
BULK_MIB = 10
# What is sent, and by how many connections and in turns of how many seconds.
GETS = {
    "GET 1 KiB": ({}, measure.CONNECTIONS, turns.TURN_SECONDS),
    "GET 64 KiB": ({"path": "/64k"}, measure.CONNECTIONS, turns.TURN_SECONDS),
    "GET 10 MiB": ({"path": "/10m"}, BULK_CONNECTIONS, BULK_SECONDS),
    "TLS, HTTP/1, GET 1 KiB": ({"tls": True}, TLS_CONNECTIONS, turns.TURN_SECONDS),
    "TLS, HTTP/2, GET 1 KiB": ({"http2": True}, measure.CONNECTIONS, turns.TURN_SECONDS),
}
# Rows of POSTs, each with the contender that answers them in the last column; all are measured in the same turns.
POSTS = {"POST 1 KiB": "plain", "POST 1 KiB, a new key each": "first", "POST 1 KiB, replays": "again"}


def beside(bench, binary, sends):
    """nginx, with larger buffers too where bodies are large, and Vestibule, off and with everything, to send it to."""
    tls = sends.get("tls", False) or sends.get("http2", False)
    more = {"SERVER": contender.tls_lines(bench.directory)} if tls else {}
    yield Contender("nginx", "", contender.nginx(tls=tls), contender.tool("nginx"), **sends)
    if "path" in sends:
        yield Contender("nginx-buffers", "", contender.nginx(location=BUFFERS), contender.tool("nginx"), **sends)
    for name in ("vestibule-off", "vestibule-all"):
        build = contender.vestibule(binary, f"{name}.toml", **more)
        yield Contender(name, "", build, contender.built(binary), **sends)


def figures(samples, name):
    """Medians of a contender over the rounds, and the median of its ratios to nginx."""
    median = lambda what: statistics.median(sample[name][what] for sample in samples)  # noqa: E731
    ratios = [sample[name]["cpu_us"] / sample["nginx"]["cpu_us"] for sample in samples]
    return {
        "cpu_us": median("cpu_us"),
        "user_us": median("user_us"),
        "system_us": median("system_us"),
        "per_second": median("per_second"),
        "cpu_ratio": statistics.median(ratios),
    }


def gets(bench, binary, rounds, count):
    """The rows of what is read: figures by column, and the samples behind them."""
    for row, (sends, connections, seconds) in GETS.items():
        every = list(beside(bench, binary, sends))
        samples = [turns.together(bench, every, count, connections, seconds) for _ in range(rounds)]
        yield row, {one.name: figures(samples, one.name) for one in every}, samples


def posts(bench, binary, rounds, count):
    """The rows of what is written; the ratios are to nginx without a key, which knows none."""
    every = list(beside(bench, binary, keyed.requests("plain")))
    every += [keyed.keyed(binary, kind, kind=kind) for kind in keyed.KINDS]
    samples = [turns.together(bench, every, count, measure.CONNECTIONS) for _ in range(rounds)]
    for row, kind in POSTS.items():
        columns = {one.name: figures(samples, one.name) for one in every[:-len(keyed.KINDS)]} if kind == "plain" else {}
        yield row, columns | {"vestibule-keyed": figures(samples, kind)}, samples if kind == "plain" else []


def cell(figure, name):
    """CPU time a request, with its ratio to nginx behind it."""
    if figure is None:
        return "–"
    return f"{figure['cpu_us']:,.1f}" + ("" if name == "nginx" else f" ({figure['cpu_ratio']:.2f} ×)")


def speed(columns):
    """The row of throughput, in MiB a second."""
    return [f"{columns[name]['per_second'] * BULK_MIB:,.0f}" if name in columns else "–" for name in COLUMNS]


def check(bench, binary, rounds, count):
    """The check of bench/run."""
    contender.certificate(bench.directory)
    result, table, errors = {}, [["CPU µs/req (× nginx)", *COLUMNS]], 0
    for make in (gets, posts):
        for row, columns, samples in make(bench, binary, rounds, count):
            result[row] = {"columns": columns, "rounds": samples}
            table.append([row, *(cell(columns.get(name), name) for name in COLUMNS)])
            if row == "GET 10 MiB":
                table.append([f"{row}, MiB/s", *speed(columns)])
            errors += sum(one["errors"] + one["refused"] for sample in samples for one in sample.values())
    return {
        "rows": result,
        "errors": errors,
        "says": f"each row in turns, {rounds} rounds; vestibule-keyed has idempotency keys in memory; {errors} errors",
        "table": table,
    }
