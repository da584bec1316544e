"""What idempotency keys cost: a first execution, a replay, a record, and many executions at once."""

import os
import resource
import shutil
import statistics
import time

from . import contender, load, machine, measure, turns

KINDS = ("plain", "first", "again")
# Far more than are used in one load.
KEYS_BETWEEN = 10_000_000
FEW, MANY = 100, 10_000
# Files of a proxy that are no connections.
OTHER_FILES = 500
TTL_SECONDS = 20


def keyed(binary, name, ttl="1h", kind=None):
    """Vestibule with keys on; of a kind, with the requests that go with it."""
    build = contender.vestibule(binary, "vestibule-keyed.toml", TTL=ttl)
    sends = {} if kind is None else requests(kind)
    return contender.Contender(name, "", build, contender.built(binary), **sends)


def requests(kind):
    """The POSTs of a kind; each time from where no key was before, and the first time fills the store for `again`."""
    return {"script": "keyed.lua", "arguments": lambda times: (kind, times * KEYS_BETWEEN)}


def cost(bench, binary, rounds, count):
    """CPU time and replies a second of a POST without a key, of a first execution and of a replay, in turns."""
    every = [keyed(binary, kind, kind=kind) for kind in KINDS]
    samples = [turns.together(bench, every, count, measure.CONNECTIONS) for _ in range(rounds)]
    ratio = lambda what, kind: statistics.median(each[kind][what] / each["plain"][what] for each in samples)  # noqa: E731
    result = {
        "rounds": samples,
        "first_cpu": ratio("cpu_us", "first"),
        "replay_cpu": ratio("cpu_us", "again"),
        "replay_throughput": ratio("per_second", "again"),
        "plain_cpu_us": statistics.median(each["plain"]["cpu_us"] for each in samples),
        "errors": sum(each[kind]["errors"] + each[kind]["refused"] for each in samples for kind in KINDS),
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
