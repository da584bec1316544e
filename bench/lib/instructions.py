"""Instructions a request, as valgrind's callgrind counts them.

They hardly depend on the machine and what else it does, so that a change of some per cent shows, and one measurement is
enough. What the kernel does for a request is not in them, and neither is how long an instruction takes. Callgrind counts
each step of a `rep movsb`, so that a copy by it costs as many as it has bytes.
"""

import re

from . import contender, load

ROWS = ("vestibule-off", "vestibule-on", "vestibule-log", "vestibule-all")
# What start and end cost is in both, and so in neither's difference.
FEW, MANY = 1_000, 4_000
CONNECTIONS = 8
# A program runs some fifty times slower under valgrind.
START_SECONDS, END_SECONDS = 120, 60


def contenders(binary):
    """The rows: Vestibule's, and nginx as one process, since callgrind follows no fork."""
    alone = contender.nginx(extra=("-g", "master_process off;"))
    rows = [contender.ours(binary, name, "") for name in ROWS]
    rows.append(contender.Contender("nginx", "", alone, contender.tool("nginx")))
    return rows


def executed(bench, one, requests):
    """Instructions from start to end of a contender that answers so many requests."""
    out = f"{bench.directory}/callgrind.{one.name}.{requests}"
    under = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    with one.start(bench.directory, bench.origin.port, bench.core, under, START_SECONDS) as running:
        load.h1load(running.port, requests, CONNECTIONS, bench.cores)
        running.end(END_SECONDS)
    with open(out) as profile:
        found = re.search(r"^(?:summary|totals): (\d+)", profile.read(), re.MULTILINE)
    if found is None:
        raise contender.Broken(f"callgrind did not write what {one.name} did")
    return int(found.group(1))


def of_request(bench, one):
    """Instructions a request."""
    return (executed(bench, one, MANY) - executed(bench, one, FEW)) / (MANY - FEW)


def measured(bench, every):
    """Instructions a request of each that is there."""
    return {one.name: of_request(bench, one) for one in every if one.missing is None}


def table(counts, bounds=None):
    """The rows of the table, with the bounds where there are some."""
    bounds = bounds or {}
    yield ["", "instructions a request", *(["bound"] if bounds else [])]
    for name, count in counts.items():
        bound = [f"{bounds[name]:,}" if name in bounds else "–"] if bounds else []
        yield [name, f"{count:,.0f}", *bound]


def exceeded(counts, bounds):
    """A line for each row that is above its bound or was not counted."""
    for name, bound in bounds.items():
        if name not in counts:
            yield f"{name}: has a bound of {bound:,} instructions a request and was not measured"
        elif counts[name] > bound:
            over = counts[name] / bound - 1
            yield f"{name}: measured {counts[name]:,.0f} instructions a request, bound {bound:,}: {over:.1%} above it"


def check(bench, binary):
    """The check of bench/run."""
    counts = measured(bench, contenders(binary))
    return {
        "instructions": counts,
        "says": f"(of {MANY:,} requests − of {FEW:,}) ÷ {MANY - FEW:,}, in user space, by callgrind",
        "table": list(table(counts)),
    }
