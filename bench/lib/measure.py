"""The measurements of one contender alone: a sample of a round, and the single checks."""

import re
import resource
import statistics
import time
import urllib.request

from . import contender, load, machine

CONNECTIONS = 64
WARM_SECONDS = 1
# Connections to the origin that a contender opens for CONNECTIONS of its clients when it keeps them.
MOST_REUSED = 4 * CONNECTIONS
STARTS = 10


class Bench:
    """One run: where files go, the origin, and which core is whose."""

    def __init__(self, directory, origin, contender_core, other_cores, seconds):
        self.directory, self.origin, self.seconds = directory, origin, seconds
        self.core, self.cores = contender_core, other_cores

    def start(self, one):
        """Starts a contender before the origin."""
        return one.start(self.directory, self.origin.port, self.core)

    def sample(self, one):
        """One measurement of one contender alone, from its start to its end."""
        with self.start(one) as running:
            time.sleep(0.3)
            idle = machine.rss_bytes(running.pid)
            load.wrk(running.port, WARM_SECONDS, CONNECTIONS, self.cores)
            before = self.clocks(running)
            result = load.wrk(running.port, self.seconds, CONNECTIONS, self.cores)
            after = self.clocks(running)
            ours, origin, generator, machine_busy, wall = [b - a for a, b in zip(before, after)]
            others = max(0.0, machine_busy - ours - origin - generator) / wall
            return result | {
                "idle_rss": idle,
                "rss": machine.rss_bytes(running.pid),
                "others_cores": others,
            }

    def clocks(self, running):
        """CPU seconds of the contender, the origin, finished children and the machine; wall seconds."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (
            machine.cpu_seconds(running.pid),
            machine.cpu_seconds(self.origin.pid),
            children.ru_utime + children.ru_stime,
            machine.busy_seconds(),
            time.perf_counter(),
        )

    def start_times(self, one):
        """Milliseconds from exec to the first 200, several times."""
        times = []
        for _ in range(STARTS):
            with self.start(one) as running:
                times.append(running.start_seconds * 1e3)
        median, longest = statistics.median(times), max(times)
        says = f"{median:.1f} ms from exec to the first 200 (median), {longest:.1f} ms at most"
        return {"median_ms": median, "max_ms": longest, "says": says}

    def many_connections(self, one, connections=1000):
        """Kept connections at once; `errors` must be 0."""
        with self.start(one) as running:
            result = load.wrk(running.port, self.seconds, connections, self.cores)
            failed, rss = result["errors"] + result["refused"], machine.rss_bytes(running.pid)
            says = f"{connections} connections, {result['per_second']:,.0f} req/s, {failed} errors, {mib(rss)} MiB"
            return result | {"connections": connections, "rss": rss, "says": says}

    def reuse(self, one, requests=20_000):
        """Connections that the origin took for so many requests, whose replies are the origin's; few must be."""
        with self.start(one) as running:
            before = origin_connections(self.origin.port)
            load.h1load(running.port, requests, CONNECTIONS, self.cores)
            # Each question is a connection of its own.
            took = origin_connections(self.origin.port) - before - 1
            same = page(running.port) == page(self.origin.port)
            errors = int(not same or took > MOST_REUSED)
            says = f"{took} connections to the origin for {requests:,} requests on {CONNECTIONS}"
            return {"connections": took, "errors": errors, "says": says + ("" if same else "; NOT THE ORIGIN'S REPLY")}

    def http2(self, one, connections=2, streams=100):
        """Streams at once over TLS; `errors` must be 0."""
        contender.certificate(self.directory)
        with self.start(one) as running:
            result = load.h2load(running.port, 20_000, connections, streams, self.cores)
            rss = machine.rss_bytes(running.pid)
            says = (
                f"{connections * streams} streams ({result['protocol']}), {result['per_second']:,.0f} req/s, "
                f"{result['errors']} errors, {mib(rss)} MiB"
            )
            return result | {"streams": connections * streams, "rss": rss, "says": says}

    def limiter_keys(self, one, keys):
        """Memory before and after so many callers were seen, each once."""
        with self.start(one) as running:
            # The same load from a single caller first, so that buffers and pools are not counted as keys.
            load.wrk(running.port, max(2, self.seconds), CONNECTIONS, self.cores)
            before, seen, offset, errors, refused = machine.rss_bytes(running.pid), 0, 0, 0, 0
            began = time.perf_counter()
            while seen < keys:
                result = load.wrk(running.port, 5, CONNECTIONS, self.cores, "keys.lua", [offset])
                seen += result["requests"]
                errors += result["errors"]
                refused += result["refused"]
                # Requests under way at the end were sent but not counted; they are never sent again.
                offset = seen + 10 * CONNECTIONS
                if time.perf_counter() - began > 600:
                    raise contender.Broken(f"only {seen} keys in ten minutes")
            after = machine.rss_bytes(running.pid)
            each, held = (after - before) / seen, metric(running.admin, "vestibule_rate_limit_keys")
            return {
                "keys": seen,
                "rss_before": before,
                "rss_after": after,
                "bytes_per_key": each,
                "errors": errors,
                "refused": refused,
                "held": held,
                "says": f"{each:.0f} B of RSS a key over {seen:,} keys, {held:,.0f} held "
                f"({mib(before)} → {mib(after)} MiB, + {mib(after - before)}), {errors + refused} errors",
            }


def mib(count):
    """Bytes as MiB."""
    return f"{count / 2**20:.1f}"


def page(port, path="/"):
    """The body of a reply."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()


def origin_connections(port):
    """Connections that the origin took so far: the first of the three numbers of its counters."""
    return int(re.search(r"requests\s+(\d+)", page(port, "/status")).group(1))


def metrics(admin):
    """What /metrics shows."""
    return page(admin, "/metrics")


def sample(text, name, **labels):
    """The sum of the samples of a metric that have these labels, or None when there is none."""
    samples = re.findall(rf"^{re.escape(name)}(?:\{{(.*)\}})? (\S+)", text, re.MULTILINE)
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    values = [float(value) for said, value in samples if all(each in said.split(",") for each in wanted)]
    return sum(values) if values else None


def metric(admin, name):
    """The sum of the samples of a metric, or None when there is none."""
    return sample(metrics(admin), name)
