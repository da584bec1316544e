"""What an audited request costs."""

import contextlib
import http.server
import os
import statistics
import threading
import time

from . import contender, load, machine, measure, turns

KINDS = ("GET", "POST")
# How long a sink may take to catch up, and then some.
PATIENCE_SECONDS = 300
UNSENT = "vestibule_audit_unsent_events"


def kinds(bench, binary):
    """GET and POST, unaudited and audited."""
    for method in KINDS:
        for name, key in (("off", ""), ("on", "audit = {}")):
            directory = os.path.join(bench.directory, f"audit-{method}-{name}")
            build = contender.vestibule(binary, "vestibule-audit.toml", AUDIT=key, DIR=directory, SINKS="")
            yield contender.Contender(
                f"{method}-{name}", "", build, contender.built(binary), script="write.lua", arguments=(method,)
            )


def cost(bench, binary, rounds, count):
    """CPU time of an audited request over the same unaudited, in turns."""
    every = list(kinds(bench, binary))
    samples = [turns.together(bench, every, count, measure.CONNECTIONS) for _ in range(rounds)]
    over = lambda method: statistics.median(  # noqa: E731
        sample[f"{method}-on"]["cpu_us"] / sample[f"{method}-off"]["cpu_us"] for sample in samples
    )
    errors = sum(each["errors"] + each["refused"] for sample in samples for each in sample.values())
    ratios = ", ".join(f"{method} {over(method):.3f} × CPU" for method in KINDS)
    return {
        "rounds": samples,
        "cpu": {method: over(method) for method in KINDS},
        "errors": errors,
        "says": f"audited over unaudited: {ratios}; {rounds} rounds, {errors} errors",
    }


def latency(bench, binary, rounds):
    """p50 of one caller, unaudited and audited, one after the other."""
    with contextlib.ExitStack() as stack:
        running = {one.name: (one, stack.enter_context(bench.start(one))) for one in kinds(bench, binary)}
        samples = {name: [] for name in running}
        for _ in range(rounds):
            for name, (one, each) in running.items():
                samples[name].append(load.wrk(each.port, bench.seconds, 1, bench.cores, one.script, one.arguments))
    p50 = {name: statistics.median(sample["p50_us"] for sample in each) for name, each in samples.items()}
    errors = sum(sample["errors"] + sample["refused"] for each in samples.values() for sample in each)
    words = [f"{method} {p50[f'{method}-off']:.0f} → {p50[f'{method}-on']:.0f} µs" for method in KINDS]
    return {
        "rounds": samples,
        "p50_us": p50,
        "errors": errors,
        "says": f"p50 of one caller, unaudited → audited: {', '.join(words)}; {rounds} rounds, {errors} errors",
    }


def flood(bench, binary, seconds=10):
    """POSTs as fast as they go on one worker: events a second, fsyncs a second, losses, memory."""
    directory = os.path.join(bench.directory, "audit-flood")
    build = contender.vestibule(binary, "vestibule-audit.toml", AUDIT="audit = {}", DIR=directory, SINKS="")
    one = contender.Contender("flood", "", build, contender.built(binary))
    with bench.start(one) as running:
        before = machine.rss_bytes(running.pid)
        load.wrk(running.port, seconds, measure.CONNECTIONS, bench.cores, "write.lua", ("POST",))
        text = measure.metrics(running.admin)
        written = measure.sample(text, "vestibule_audit_events_total", outcome="written")
        lost = measure.sample(text, "vestibule_audit_events_total", outcome="lost")
        syncs = measure.sample(text, "vestibule_audit_write_duration_seconds_count")
        after = machine.rss_bytes(running.pid)
    return {
        "events_a_second": written / seconds,
        "fsyncs_a_second": syncs / seconds,
        "lost": lost,
        "rss_before": before,
        "rss_after": after,
        "says": f"one worker, {seconds} s of POSTs: {written / seconds:,.0f} events/s written, {lost:.0f} lost, "
        f"{syncs / seconds:.0f} fsyncs/s, RSS {measure.mib(before)} to {measure.mib(after)}",
    }


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes whatever comes."""

    protocol_version = "HTTP/1.1"
    taken = 0

    def do_POST(self):  # noqa: N802
        """One batch."""
        body = self.rfile.read(int(self.headers["content-length"]))
        Receiver.taken += body.count(b'"specversion":"1.0"')
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


def catch_up(bench, binary, events):
    """So many events while the sink is away; then how long it takes until it has them, and p99 of a caller meanwhile."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver, bind_and_activate=False) as server:
        # The port is taken and nobody listens: connections are refused.
        server.server_bind()
        directory = os.path.join(bench.directory, "audit-catch-up")
        key = "audit = {}"
        sinks = f'sinks = ["http://127.0.0.1:{server.server_port}/events"]'
        build = contender.vestibule(binary, "vestibule-audit.toml", AUDIT=key, DIR=directory, SINKS=sinks)
        with bench.start(contender.Contender("catch-up", "", build, contender.built(binary))) as running:
            unsent = lambda: measure.sample(measure.metrics(running.admin), UNSENT, sink="http") or 0  # noqa: E731
            while unsent() < events:
                load.wrk(running.port, 2, measure.CONNECTIONS, bench.cores, "write.lua", ("POST",))
            behind, rss = unsent(), machine.rss_bytes(running.pid)
            quiet = load.wrk(running.port, 3, 1, bench.cores)
            server.server_activate()
            threading.Thread(target=server.serve_forever, daemon=True).start()
            began, beside = time.perf_counter(), []
            while unsent() > 500 and time.perf_counter() - began < PATIENCE_SECONDS:
                beside.append(load.wrk(running.port, 1, 1, bench.cores))
            took = time.perf_counter() - began
            after = machine.rss_bytes(running.pid)
            server.shutdown()
    p99 = statistics.median(each["p99_us"] for each in beside)
    return {
        "behind": behind,
        "seconds": took,
        "taken": Receiver.taken,
        "rss_before": rss,
        "rss_after": after,
        "quiet": quiet,
        "beside": beside,
        "says": f"{behind:,.0f} events behind: the sink had them {took:.0f} s after it came back ({Receiver.taken:,} taken); "
        f"p99 of one caller {quiet['p99_us']:.0f} µs before, {p99:.0f} meanwhile; RSS {measure.mib(rss)} to {measure.mib(after)}",
    }
