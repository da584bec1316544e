"""What limits cost: a decision beside none, a fleet that shares one, and a store that fails."""

import contextlib
import os
import signal
import statistics
import subprocess
import time

from . import contender, load, measure, turns

POLICY = """[rate_limit]
consistency = "{consistency}"

[rate_limit.policies.p]
limit = "{limit}"
burst = {burst}
key = "address"

[rate_limit.tiers]
anonymous = ["p"]
"""
MEMORY = "memory:"
# Among whom the requests of a saturated worker are spread.
CALLERS = 16
# The least there is between two units, so that nothing is refused.
WIDE = "1000000/s"
PROXIES = 8
# The limit of the fleet, and what it admits at once.
FLEET_HZ, FLEET_BURST = 1_000, 100
# The pause of a caller of the fleet, where that makes neither none nor more than sixteen callers.
PAUSE_SECONDS = 0.04
# Leases and moving averages have settled, then a window that is long against both.
SETTLE_SECONDS, WINDOW_SECONDS = 2, 10
STORE_TIMEOUT_MS = 20
DECISIONS = "vestibule_rate_limit_decisions_total"
CALLS = "vestibule_store_operation_duration_seconds_count"


def limited(binary, name, url, limit=WIDE, burst=1_000_000, consistency="leased"):
    """Vestibule with one policy for each address."""
    limits = POLICY.format(limit=limit, burst=burst, consistency=consistency)
    build = contender.vestibule(binary, "vestibule-limits.toml", URL=url, LIMITS=limits)
    return contender.Contender(name, "", build, contender.built(binary), script="callers.lua", arguments=(CALLERS,))


def unlimited(binary):
    """Vestibule with the limiter off."""
    build = contender.vestibule(binary, "vestibule-limits.toml", URL=MEMORY, LIMITS="")
    return contender.Contender("off", "", build, contender.built(binary), script="callers.lua", arguments=(CALLERS,))


@contextlib.contextmanager
def store(bench):
    """A Redis beside the origin, and its URL."""
    with contender.redis(bench.directory, bench.cores) as running:
        yield running, f"redis://127.0.0.1:{running.port}"


def kinds(binary, url):
    """The limiter off, in memory, leased and strict; nothing is refused."""
    return [
        unlimited(binary),
        limited(binary, "memory", MEMORY),
        limited(binary, "leased", url),
        limited(binary, "strict", url, consistency="strict"),
    ]


def cost(bench, binary, rounds, count):
    """CPU time and replies a second of each kind over the limiter switched off, in turns; and of a refusal."""
    with store(bench) as (_, url):
        every = [*kinds(binary, url), limited(binary, "refused", MEMORY, "1/h", 1)]
        crowd = limited(binary, "one-caller", url)
        crowd.arguments = (1,)
        every.append(crowd)
        samples = [turns.together(bench, every, count, measure.CONNECTIONS) for _ in range(rounds)]
    names = [one.name for one in every[1:]]

    def over(what, name, base="off"):
        return statistics.median(sample[name][what] / sample[base][what] for sample in samples)

    cpu = {name: over("cpu_us", name) for name in names}
    pace = {name: over("per_second", name) for name in names}
    refused = over("cpu_us", "refused", "memory")
    base = statistics.median(sample["off"]["cpu_us"] for sample in samples)
    words = [
        f"{name} {cpu[name]:.3f} × CPU, {pace[name]:.3f} × replies a second" for name in names if name != "refused"
    ]
    errors = sum(each["errors"] for sample in samples for each in sample.values())
    return {
        "rounds": samples,
        "cpu": cpu,
        "throughput": pace,
        "refused_over_admitted": refused,
        "errors": errors,
        "says": f"{CALLERS} callers, over the limiter off ({base:.1f} µs): {'; '.join(words)}; a refusal {refused:.2f} × the CPU of an "
        f"admission in memory; {rounds} rounds, {errors} errors",
    }


def latency(bench, binary, rounds):
    """p50 and p99 of a single caller, who sends when the answer is there, and those of the store alone."""
    with contextlib.ExitStack() as stack:
        redis, url = stack.enter_context(store(bench))
        running = {one.name: stack.enter_context(bench.start(one)) for one in kinds(binary, url)}
        samples = {name: [] for name in running}
        trips = []
        for each in running.values():
            load.wrk(each.port, 1, 1, bench.cores)
        for _ in range(rounds):
            for name, each in running.items():
                samples[name].append(load.wrk(each.port, bench.seconds, 1, bench.cores))
            trips.append(load.round_trip(redis.port, bench.core))
    figures = {
        name: {what: statistics.median(sample[what] for sample in each) for what in ("p50_us", "p99_us")}
        for name, each in samples.items()
    }
    trip = {what: statistics.median(each[what] for each in trips) for what in ("p50_us", "p99_us")}
    errors = sum(sample["errors"] + sample["refused"] for each in samples.values() for sample in each)
    words = [f"{name} {each['p50_us']:.0f}/{each['p99_us']:.0f}" for name, each in figures.items()]
    return {
        "rounds": samples,
        "figures": figures,
        "round_trip": trip,
        "errors": errors,
        "says": f"p50/p99 in µs of one caller: {', '.join(words)}; a round trip to the store alone "
        f"{trip['p50_us']:.0f}/{trip['p99_us']:.0f}; {rounds} rounds, {errors} errors",
    }


class Counts:
    """What the proxies of a fleet have counted so far."""

    def __init__(self, fleet):
        self.at = time.perf_counter()
        totals = [measure.metrics(each.admin) for each in fleet]

        def total(name, **labels):
            return sum(measure.sample(text, name, **labels) or 0 for text in totals)

        self.allowed = total(DECISIONS, outcome="allowed")
        self.denied = total(DECISIONS, outcome="denied")
        self.failed = total(DECISIONS, outcome="error")
        self.calls = total(CALLS, operation="quota_take")


def fleet(bench, binary, times, skewed):
    """Eight proxies before one limit, under so many times its load: calls a request, and what is admitted of it."""
    with contextlib.ExitStack() as stack:
        _, url = stack.enter_context(store(bench))
        limit = dict(limit=f"{FLEET_HZ}/s", burst=FLEET_BURST)
        proxies = [
            stack.enter_context(bench.start(limited(binary, f"fleet-{number}", url, **limit))) for number in range(PROXIES)
        ]
        # Until each has counted the others, by a heartbeat a second.
        time.sleep(2)
        shares = [2.0 ** -(number + 1) if skewed else 1.0 for number in range(PROXIES)]
        seconds = SETTLE_SECONDS + WINDOW_SECONDS + 1
        for number, (each, share) in enumerate(zip(proxies, shares)):
            hz = FLEET_HZ * times * share / sum(shares)
            callers = max(1, min(16, round(hz * PAUSE_SECONDS)))
            command = load.wrk_command(each.port, seconds, callers, "paced.lua", (callers / hz * 1e3, number))
            stack.enter_context(load.Background(command, bench.cores))
        time.sleep(SETTLE_SECONDS)
        first = Counts(proxies)
        time.sleep(WINDOW_SECONDS)
        last = Counts(proxies)
    lasted = last.at - first.at
    allowed, denied, calls = last.allowed - first.allowed, last.denied - first.denied, last.calls - first.calls
    asked = allowed + denied
    result = {
        "offered_hz": asked / lasted,
        "calls_per_request": calls / asked,
        "admitted_of_ideal": allowed / (FLEET_HZ * lasted),
        "refused_share": denied / asked,
        "errors": last.failed - first.failed,
    }
    return result | {
        "says": f"{PROXIES} proxies, {FLEET_HZ}/s, burst {FLEET_BURST}, {'shares 2⁻ⁱ' if skewed else 'equal shares'}: "
        f"{result['offered_hz']:,.0f} requests/s, {result['calls_per_request']:.3f} store calls a request, "
        f"{result['refused_share']:.2%} refused, {result['admitted_of_ideal']:.2%} of the limit admitted, "
        f"{result['errors']:.0f} errors"
    }


def outage(bench, binary, rounds):
    """The longest wait when the store freezes, latency while the breaker is open, and how long the way back takes."""
    with contextlib.ExitStack() as stack:
        redis, url = stack.enter_context(store(bench))
        off = stack.enter_context(bench.start(unlimited(binary)))
        ours = stack.enter_context(bench.start(limited(binary, "frozen", url)))
        samples = []
        for _ in range(rounds):
            with load.Timed(ours.port, 3, bench.cores) as during:
                time.sleep(1)
                os.kill(redis.pid, signal.SIGSTOP)
            open_p99, off_p99 = [load.wrk(each.port, bench.seconds, 1, bench.cores)["p99_us"] for each in (ours, off)]
            with load.Timed(ours.port, 3, bench.cores) as back:
                time.sleep(0.5)
                before = shared(ours)
                os.kill(redis.pid, signal.SIGCONT)
                answered = time.perf_counter()
                while shared(ours) == before and time.perf_counter() - answered < 5:
                    time.sleep(0.005)
                recovery = time.perf_counter() - answered
            samples.append(
                {
                    "longest_ms": during.counted["max_us"] / 1e3,
                    "open_p99_us": open_p99,
                    "off_p99_us": off_p99,
                    "recovery_ms": recovery * 1e3,
                    "errors": sum(each.counted["errors"] + each.counted["refused"] for each in (during, back)),
                }
            )
    longest = max(sample["longest_ms"] for sample in samples)
    recovery = max(sample["recovery_ms"] for sample in samples)
    open_p99, off_p99 = [statistics.median(sample[what] for sample in samples) for what in ("open_p99_us", "off_p99_us")]
    errors = sum(sample["errors"] for sample in samples)
    return {
        "rounds": samples,
        "errors": errors,
        "says": f"store frozen: the longest answer took {longest:.1f} ms (store_timeout {STORE_TIMEOUT_MS} ms); while the "
        f"breaker is open p99 is {open_p99:.0f} µs, {off_p99:.0f} µs with the limiter off; the store decides again "
        f"{recovery:.0f} ms after it answers, at most; {rounds} rounds, {errors} errors",
    }


def shared(running):
    """Decisions that came from the store, at once or by a lease."""
    text = measure.metrics(running.admin)
    return sum(measure.sample(text, DECISIONS, source=source) or 0 for source in ("lease", "store"))


def store_memory(bench, binary, buckets):
    """Bytes of Redis a bucket, of so many callers each seen once."""
    with store(bench) as (redis, url):
        build = contender.vestibule(binary, "vestibule-buckets.toml", URL=url)
        with bench.start(contender.Contender("buckets", "", build)) as running:
            load.wrk(running.port, 1, measure.CONNECTIONS, bench.cores)
            before, seen, offset, errors = memory(redis), 0, 0, 0
            names = keys(redis)
            while seen < buckets:
                result = load.wrk(running.port, 5, measure.CONNECTIONS, bench.cores, "keys.lua", [offset])
                seen += result["requests"]
                errors += result["errors"] + result["refused"]
                offset = seen + 10 * measure.CONNECTIONS
            held = keys(redis) - names
            each = (memory(redis) - before) / held
    return {
        "buckets": held,
        "bytes_per_bucket": each,
        "errors": errors,
        "says": f"{each:.0f} B a bucket in Redis over {held:,} buckets, {errors} errors",
    }


def memory(redis):
    """What Redis has allocated, in bytes."""
    return int(load.number(r"used_memory:(\d+)", cli(redis, "info", "memory")))


def keys(redis):
    """How many names it holds."""
    return int(cli(redis, "dbsize"))


def cli(redis, *words):
    """What redis-cli prints."""
    return subprocess.run(
        ["redis-cli", "-p", str(redis.port), *words], capture_output=True, text=True, check=True, timeout=10
    ).stdout
