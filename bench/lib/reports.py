"""What reports of violations cost: one in a request, many in one, many that differ, and beside what is proxied."""

import time

from . import contender, load, machine, measure

REPORTS = "vestibule_csp_reports_total"
BATCH = 20
# Groups that repeat, and addresses that they come from.
GROUPS, SENDERS, MANY_SENDERS = 100, 16, 100_000
# What is brought beside proxied requests, in reports a second.
BESIDE_HZ, BESIDE_CALLERS = 10_000, 8


def collecting(binary, name, reports=True, workers=1):
    """Vestibule with the path of reports, or with a header alone."""

    def build(home, shared, port, admin, origin):
        values = {"PORT": port, "ADMIN": admin, "ORIGIN": origin, "DIR": shared, "NAME": name, "WORKERS": workers}
        values["REPORTS"] = str(reports).lower()
        return [binary, "run", "-c", contender.fill("vestibule-csp.toml", f"{home}/vestibule.toml", **values)]

    return contender.Contender(name, "", build, contender.built(binary))


def accepted(running):
    """Reports that were counted so far."""
    return measure.sample(measure.metrics(running.admin), REPORTS, outcome="accepted") or 0


def intake(bench, binary, seconds):
    """Reports a second of a saturated worker, and of a second of its CPU time, one and many in a request."""
    result = {"errors": 0}
    for size in (1, BATCH):
        with bench.start(collecting(binary, f"csp-{size}")) as running:
            arguments = (size, GROUPS, SENDERS)
            load.wrk(running.port, 1, measure.CONNECTIONS, bench.cores, "reports.lua", arguments)
            before, cpu = accepted(running), machine.cpu_seconds(running.pid)
            done = load.wrk(running.port, seconds, measure.CONNECTIONS, bench.cores, "reports.lua", arguments)
            taken, spent = accepted(running) - before, machine.cpu_seconds(running.pid) - cpu
            result[size] = {"per_second": taken / seconds, "per_cpu_second": taken / spent, "wrk": done}
            result["errors"] += done["errors"] + done["refused"]
    words = [
        f"{size} in a request: {result[size]['per_second']:,.0f} a second, {result[size]['per_cpu_second']:,.0f} a second of CPU"
        for size in (1, BATCH)
    ]
    return result | {"says": f"reports over {seconds} s, {'; '.join(words)}; {result['errors']} errors"}


def memory(bench, binary, reports):
    """Growth of RSS over so many reports that all differ, from many addresses; and how many series there are then."""
    with bench.start(collecting(binary, "csp-memory")) as running:
        load.wrk(running.port, max(2, bench.seconds), measure.CONNECTIONS, bench.cores, "reports.lua", (BATCH, GROUPS, 1))
        before, errors, peak, seen = machine.rss_bytes(running.pid), 0, 0, 0
        start = accepted(running)
        while seen < reports:
            arguments = (BATCH, 0, MANY_SENDERS, int(seen) + 1_000_000)
            done = load.wrk(running.port, 2, measure.CONNECTIONS, bench.cores, "reports.lua", arguments)
            errors += done["errors"] + done["refused"]
            seen = accepted(running) - start
            peak = max(peak, machine.rss_bytes(running.pid))
        # The window in which they came has ended.
        time.sleep(65)
        peak = max(peak, machine.rss_bytes(running.pid))
        series = sum(not line.startswith("#") for line in measure.metrics(running.admin).splitlines())
        return {
            "reports": seen,
            "rss_before": before,
            "rss_peak": peak,
            "series": series,
            "errors": errors,
            "says": f"+ {measure.mib(peak - before)} MiB of RSS over {seen:,.0f} reports that differ from {MANY_SENDERS:,} "
            f"addresses, {series} series, {errors} errors",
        }


def beside(bench, binary, seconds):
    """p99 of one caller who is proxied, while reports come in at a steady pace, and while the same go to the origin: the
    generator takes its share of the machine either way."""
    with bench.start(collecting(binary, "csp-beside", workers=0)) as running:
        # Each caller brings one batch a pause.
        arguments = (BATCH, GROUPS, SENDERS, 0, 1000 * BATCH * BESIDE_CALLERS // BESIDE_HZ)
        load.wrk(running.port, 1, 1, bench.cores)
        counted, pace = {}, 0
        for name, port in (("alone", bench.origin.port), ("beside", running.port)):
            command = load.wrk_command(port, seconds + 5, BESIDE_CALLERS, "reports.lua", arguments)
            with load.Background(command, bench.cores):
                time.sleep(1)
                before, began = accepted(running), time.perf_counter()
                counted[name] = load.wrk(running.port, seconds, 1, bench.cores)
                pace = (accepted(running) - before) / (time.perf_counter() - began)
    alone, with_reports = counted["alone"], counted["beside"]
    ratio = with_reports["p99_us"] / alone["p99_us"]
    errors = sum(each["errors"] + each["refused"] for each in (alone, with_reports))
    return {
        "alone": alone,
        "beside": with_reports,
        "pace": pace,
        "p99_ratio": ratio,
        "errors": errors,
        "says": f"p99 of a proxied request {ratio:.2f} × beside {pace:,.0f} reports a second "
        f"({alone['p99_us']:.0f} → {with_reports['p99_us']:.0f} µs), {errors} errors",
    }
