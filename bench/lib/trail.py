"""What an audited request costs."""

import os
import statistics

from . import contender, measure, turns

KINDS = ("GET", "POST")


def cost(bench, binary, rounds, count):
    """CPU time of an audited request over the same unaudited, in turns, and what the log did meanwhile."""
    every = []
    for method in KINDS:
        for name, key in (("off", ""), ("on", "audit = {}")):
            directory = os.path.join(bench.directory, f"audit-{method}-{name}")
            build = contender.vestibule(binary, "vestibule-audit.toml", AUDIT=key, DIR=directory)
            one = contender.Contender(
                f"{method}-{name}", "", build, contender.built(binary), script="write.lua", arguments=(method,)
            )
            every.append(one)
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


def flood(bench, binary, seconds=10):
    """POSTs as fast as they go on one worker: events a second, fsyncs a second, losses, memory."""
    from . import load, machine

    directory = os.path.join(bench.directory, "audit-flood")
    build = contender.vestibule(binary, "vestibule-audit.toml", AUDIT="audit = {}", DIR=directory)
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
