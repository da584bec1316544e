"""What idempotency keys cost: a first execution, a replay, a record, and many executions at once."""

import contextlib
import os
import random
import resource
import shutil
import statistics
import time

from . import contender, load, machine, measure, turns

KINDS = ("plain", "first", "again")
# Keys that `again` repeats; see keyed.lua.
KNOWN_KEYS = 4096
FEW, MANY = 100, 10_000
# Files of a proxy that are no connections.
OTHER_FILES = 500
TTL_SECONDS = 20


def build(binary, ttl):
    """Vestibule with keys on."""

    def command(home, shared, port, admin, origin):
        values = {"PORT": port, "ADMIN": admin, "ORIGIN": origin, "DIR": shared, "TTL": ttl}
        return [binary, "run", "-c", contender.fill("vestibule-keyed.toml", f"{home}/vestibule.toml", **values)]

    return command


def keyed(binary, name, ttl="1h"):
    """A contender of this name."""
    return contender.Contender(name, "", build(binary, ttl), contender.built(binary))


def cost(bench, binary, rounds, count):
    """CPU time of a POST without a key, of a first execution and of a replay, in turns; and replies a second alone."""
    samples = []
    for number in range(rounds):
        with contextlib.ExitStack() as stack:
            running = {kind: stack.enter_context(bench.start(keyed(binary, f"keyed-{kind}"))) for kind in KINDS}
            for kind, each in running.items():
                # Fills the store with what `again` repeats.
                load.wrk(each.port, 1, measure.CONNECTIONS, bench.cores, "keyed.lua", (kind, 0))
            alone = {
                kind: load.wrk(each.port, bench.seconds, measure.CONNECTIONS, bench.cores, "keyed.lua", (kind, 10_000_000))
                for kind, each in running.items()
            }
            before = {kind: machine.cpu_seconds(each.pid) for kind, each in running.items()}
            paused = {
                kind: stack.enter_context(
                    load.Paused(each.port, measure.CONNECTIONS, bench.cores, "keyed.lua", (kind, 20_000_000))
                )
                for kind, each in running.items()
            }
            for _ in range(count):
                for each in random.sample(list(paused.values()), len(paused)):
                    each.go()
                    time.sleep(turns.TURN_SECONDS)
                    each.rest()
            sample = {}
            for kind, each in paused.items():
                done = each.end()
                spent = machine.cpu_seconds(running[kind].pid) - before[kind]
                sample[kind] = {
                    "cpu_us": spent / done["requests"] * 1e6,
                    "per_second": alone[kind]["per_second"],
                    "errors": done["errors"] + done["refused"] + alone[kind]["errors"] + alone[kind]["refused"],
                }
            samples.append(sample)
    ratio = lambda what, kind: statistics.median(each[kind][what] / each["plain"][what] for each in samples)  # noqa: E731
    result = {
        "rounds": samples,
        "first_cpu": ratio("cpu_us", "first"),
        "replay_cpu": ratio("cpu_us", "again"),
        "replay_throughput": ratio("per_second", "again"),
        "plain_cpu_us": statistics.median(each["plain"]["cpu_us"] for each in samples),
        "errors": sum(each[kind]["errors"] for each in samples for kind in KINDS),
    }
    return result | {
        "says": f"a first execution costs {result['first_cpu']:.2f} × the CPU of the same POST without a key "
        f"({result['plain_cpu_us']:.1f} µs), a replay {result['replay_cpu']:.2f} ×; replays a second "
        f"{result['replay_throughput']:.2f} ×; {rounds} rounds, {result['errors']} errors"
    }


def record_memory(bench, binary, records):
    """Growth of RSS over so many records with replies of 1 KiB."""
    with bench.start(keyed(binary, "keyed-records")) as running:
        load.wrk(running.port, max(2, bench.seconds), measure.CONNECTIONS, bench.cores, "keyed.lua", ("plain", 0))
        before, seen, offset, errors = machine.rss_bytes(running.pid), 0, 0, 0
        while seen < records:
            done = load.wrk(running.port, 5, measure.CONNECTIONS, bench.cores, "keyed.lua", ("first", offset))
            seen += done["requests"]
            errors += done["errors"] + done["refused"]
            offset = seen + 10 * measure.CONNECTIONS
        after = machine.rss_bytes(running.pid)
        held = measure.metric(running.admin, "vestibule_idempotency_records")
        return {
            "records": held,
            "rss_before": before,
            "rss_after": after,
            "bytes_per_record": (after - before) / held,
            "errors": errors,
            "says": f"{(after - before) / held:.0f} B of RSS a record with a reply of 1 KiB over {held:,.0f} records, "
            f"{errors} errors",
        }


def in_flight(bench, binary):
    """Latency with few and with many executions at once, before an origin that takes half a second; and the memory that
    is left when the records have ended."""
    home = f"{bench.directory}/tarpit"
    port = machine.free_port()
    # An execution takes a connection to the client and one to the origin; some machines allow fewer files than that.
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    many = min(MANY, (files - OTHER_FILES) // 2)
    config = contender.fill("tarpit.cfg", f"{bench.directory}/tarpit.cfg", PORT=port, CONNECTIONS=many + 50)
    os.makedirs(home, exist_ok=True)
    origin = contender.Running(
        "tarpit", [shutil.which("haproxy"), "-db", "-f", config], port, home, None, ready=contender.accepts
    )
    with origin:
        one = keyed(binary, "keyed-flight", f"{TTL_SECONDS}s")
        with one.start(bench.directory, origin.port, bench.core) as running:
            result = {"errors": 0, "few": FEW, "many": many}
            base = None
            for number, count in enumerate((FEW, many)):
                script = ("keyed.lua", ("first", (number + 1) * 10_000_000))
                # Once to connect everywhere, once to measure.
                load.wrk(running.port, 3, count, bench.cores, *script)
                if base is None:
                    time.sleep(TTL_SECONDS + 3)
                    base = machine.rss_bytes(running.pid)
                done = load.wrk(running.port, 6, count, bench.cores, "keyed.lua", ("first", (number + 5) * 10_000_000))
                result[f"p99_us_{count}"] = done["p99_us"]
                result["errors"] += done["errors"] + done["refused"]
            result["rss_loaded"] = machine.rss_bytes(running.pid)
            time.sleep(TTL_SECONDS + 3)
            result |= {
                "rss_base": base,
                "rss_after": machine.rss_bytes(running.pid),
                "records_after": measure.metric(running.admin, "vestibule_idempotency_records"),
            }
            result["p99_ratio"] = result[f"p99_us_{many}"] / result[f"p99_us_{FEW}"]
            few_ms, many_ms = [result[f"p99_us_{count}"] / 1e3 for count in (FEW, many)]
            memory = [measure.mib(result[name]) for name in ("rss_base", "rss_loaded", "rss_after")]
            return result | {
                "says": f"p99 of {FEW:,} and of {many:,} executions of 500 ms at once {few_ms:.0f} ms and {many_ms:.0f} ms, "
                f"{result['p99_ratio']:.2f} ×; memory {memory[0]} MiB before, {memory[1]} loaded, {memory[2]} when records "
                f"have ended ({result['records_after']:.0f} left), {result['errors']} errors"
            }
