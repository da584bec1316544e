"""Large bodies: how fast one client sends and gets them, and what memory they take meanwhile."""

import os
import statistics

from . import contender, load, machine, measure

ROWS = ("vestibule-off", "vestibule-all")
MIB = 50
# A line of Vestibule's configuration: its usual bound is lower.
LET_IN = f"max_body_bytes = {MIB * 2**20}"
TIMES = 5
# A body is passed on, not collected: what may be on its way in buffers.
GROWTH_MAX_MIB = 8
# A client that takes two seconds for the body, while the origin has it at once.
SLOW_BYTES_HZ = 25 * 2**20
TRANSFER_SECONDS = 60


def contenders(binary):
    """nginx, and Vestibule that takes so large a body."""
    yield contender.Contender("nginx", "", contender.nginx(), contender.tool("nginx"))
    for name in ROWS:
        build = contender.vestibule(binary, f"{name}.toml", SERVER=LET_IN)
        yield contender.Contender(name, "", build, contender.built(binary))


def transfer(bench, port, what):
    """Seconds that curl takes; `what` are its arguments before the URL, the last of which is the path."""
    *arguments, path = what
    command = ["curl", "--silent", "--fail", "--output", os.devnull, "--write-out", "%{time_total}", "-H", "Expect:"]
    text = load.run([*command, *arguments, f"http://127.0.0.1:{port}{path}"], bench.cores, TRANSFER_SECONDS)
    return float(text)


def of(bench, one):
    """MiB a second down and up, and MiB that memory grew by."""
    body = f"{bench.directory}/origin/files/50m"
    with bench.start(one) as running:
        # What the first reply of a process takes is not for the body of a later one.
        transfer(bench, running.port, ("/",))
        rest = machine.rss_bytes(running.pid)
        machine.forget_peak(running.pid)
        down = [transfer(bench, running.port, ("/50m",)) for _ in range(TIMES)]
        up = [transfer(bench, running.port, ("--upload-file", body, "/upload")) for _ in range(TIMES)]
        transfer(bench, running.port, ("--limit-rate", str(SLOW_BYTES_HZ), "/50m"))
        # Memory that was given back meanwhile is no growth.
        growth = max(0, machine.rss_peak_bytes(running.pid) - rest)
    return {
        "down_mib_hz": MIB / statistics.median(down),
        "up_mib_hz": MIB / statistics.median(up),
        "rest_rss": rest,
        "growth": growth,
    }


def check(bench, binary):
    """The check of bench/run; Vestibule's memory has a bound."""
    result = {one.name: of(bench, one) for one in contenders(binary)}
    table = [["", "download MiB/s", "upload MiB/s", "RSS before, MiB", "at most more, MiB"]]
    for name, one in result.items():
        speeds = [f"{one[what]:,.0f}" for what in ("down_mib_hz", "up_mib_hz")]
        table.append([name, *speeds, measure.mib(one["rest_rss"]), measure.mib(one["growth"])])
    over = [name for name in ROWS if result[name]["growth"] > GROWTH_MAX_MIB * 2**20]
    bound = f"; OVER THE BOUND of {GROWTH_MAX_MIB} MiB: {', '.join(over)}" if over else ""
    return {
        "bodies": result,
        "errors": len(over),
        "says": f"one client, bodies of {MIB} MiB, {TIMES} times each way and once slowly{bound}",
        "table": table,
    }
