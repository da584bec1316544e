"""System calls a request, as strace counts them."""

import os
import re
import signal
import subprocess
import time

from . import contender, load, machine, measure

# What attaching and the connections cost is in both, and so in neither's difference.
FEW, MANY = 2_000, 10_000
WARM = 2_000
ROWS = ("nginx", "haproxy", "vestibule-off", "vestibule-all")
# Those that are seldomer are summed up.
SHOWN = 0.05
ATTACH_SECONDS, END_SECONDS = 10, 30
# `% time seconds usecs/call calls errors syscall`, with the errors left empty when there are none.
LINE = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z_]\w*)$", re.MULTILINE)


def counted(bench, running, requests, connections):
    """Calls by name while so many requests are answered."""
    out = f"{bench.directory}/strace"
    pids = [word for pid in machine.tree(running.pid) for word in ("-p", str(pid))]
    with open(f"{out}.log", "w+") as log:
        tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out, *pids], stdin=subprocess.DEVNULL, stderr=log)
        try:
            attached(tracer, machine.tree(running.pid))
            load.h1load(running.port, requests, connections, bench.cores)
            tracer.send_signal(signal.SIGINT)
            tracer.wait(END_SECONDS)
        finally:
            tracer.kill()
            tracer.wait()
    with open(out) as summary:
        return {name: int(calls) for calls, name in LINE.findall(summary.read()) if name != "total"}


def attached(tracer, pids):
    """Waits until every thread is traced."""
    began = time.perf_counter()
    while not all(traced(pid, task) for pid in pids for task in os.listdir(f"/proc/{pid}/task")):
        if tracer.poll() is not None or time.perf_counter() - began > ATTACH_SECONDS:
            raise contender.Broken("strace cannot attach")
        time.sleep(0.01)


def traced(pid, task):
    """Whether a thread has a tracer; one that has ended needs none."""
    try:
        with open(f"/proc/{pid}/task/{task}/status") as status:
            return "TracerPid:\t0\n" not in status.read()
    except OSError:
        return True


def of_request(bench, one, connections):
    """Calls a request, by name, the most frequent first."""
    with bench.start(one) as running:
        load.h1load(running.port, WARM, connections, bench.cores)
        few = counted(bench, running, FEW, connections)
        many = counted(bench, running, MANY, connections)
    calls = {name: (count - few.get(name, 0)) / (MANY - FEW) for name, count in many.items()}
    return dict(sorted(calls.items(), key=lambda call: -call[1]))


def check(bench, every):
    """The check of bench/run: one caller, and a saturated worker."""
    counts, table = {}, [["", "one caller", "saturated", "by name, saturated"]]
    for one in every:
        if one.name not in ROWS or one.missing is not None:
            continue
        alone, saturated = [of_request(bench, one, connections) for connections in (1, measure.CONNECTIONS)]
        counts[one.name] = {"alone": alone, "saturated": saturated}
        shown = [f"{call} {count:.2f}" for call, count in saturated.items() if count >= SHOWN]
        table.append([one.name, *(f"{sum(calls.values()):.2f}" for calls in (alone, saturated)), ", ".join(shown)])
    return {
        "calls": counts,
        "says": f"a request of one caller and of {measure.CONNECTIONS} at once, by strace, "
        f"(of {MANY:,} requests − of {FEW:,}) ÷ {MANY - FEW:,}",
        "table": table,
        "words_last": True,
    }
