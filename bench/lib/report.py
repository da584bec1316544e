"""Medians, ratios, and the three forms of the result: terminal, Markdown, JSON."""

import json
import os
import random
import statistics

from .measure import mib

FIGURES = ["per_second", "p50_us", "p99_us", "cpu_us", "user_us", "system_us", "rss", "idle_rss", "others_cores"]
# A round in which strangers used more than this share of a core says little.
DISTURBED = 0.1
# Resamples behind an interval; more change its second decimal no longer.
RESAMPLES = 4000


def summary(rounds):
    """Median, least and greatest of each figure, and what went wrong."""
    figures = {
        figure: {
            "median": statistics.median(sample[figure] for sample in rounds),
            "min": min(sample[figure] for sample in rounds),
            "max": max(sample[figure] for sample in rounds),
        }
        for figure in FIGURES
    }
    return figures | {
        "errors": sum(sample["errors"] + sample["refused"] for sample in rounds),
        "disturbed_rounds": sum(sample["others_cores"] > DISTURBED for sample in rounds),
    }


def ratios(samples, base):
    """CPU a request against the base, round by round: both sides of a ratio come from the same round."""
    return {
        name: [one["cpu_us"] / other["cpu_us"] for one, other in zip(rounds, samples[base])]
        for name, rounds in samples.items()
    }


def spread(values):
    """The median, where it would lie in 95 of 100 runs like this one, and the extremes.

    The interval is that of the bootstrap: medians of samples drawn from these values, with a fixed seed.
    """
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return {
        "median": statistics.median(values),
        "low": medians[RESAMPLES * 25 // 1000],
        "high": medians[RESAMPLES * 975 // 1000 - 1],
        "min": min(values),
        "max": max(values),
    }


def rows(result):
    """The table: a header and a row a contender."""
    yield ["", "req/s", "p50 µs", "p99 µs", "CPU µs/req", "user", "system", "× bare (95 %)", "RSS MiB", "idle MiB", "errors", "what"]
    for name, entry in result["contenders"].items():
        if "skipped" in entry:
            yield [name, *["–"] * 10, entry["skipped"]]
            continue
        sums, factor = entry["summary"], entry.get("cpu_ratio")
        ratio = f"{factor['median']:.2f} ({factor['low']:.2f}–{factor['high']:.2f})" if factor else "–"
        yield [
            name,
            f"{sums['per_second']['median']:,.0f}",
            f"{sums['p50_us']['median']:,.0f}",
            f"{sums['p99_us']['median']:,.0f}",
            f"{sums['cpu_us']['median']:.1f}",
            f"{sums['user_us']['median']:.1f}",
            f"{sums['system_us']['median']:.1f}",
            ratio,
            mib(sums["rss"]["median"]),
            mib(sums["idle_rss"]["median"]),
            str(sums["errors"]),
            entry["says"],
        ]


def checks(result):
    """A line a check, the table behind it, where it has one, and whether the last column of that is words."""
    for name, check in result["checks"].items():
        if "skipped" in check:
            yield f"{name}: skipped, {check['skipped']}", [], False
        elif "failed" in check:
            yield f"{name}: FAILED, {check['failed']}", [], False
        else:
            yield f"{name}: {check['says']}", check.get("table", []), check.get("words_last", False)


def notes(result):
    """The machine and how it was used."""
    machine, settings = result["machine"], result["settings"]
    load = ", ".join(f"{value:.2f}" for value in machine["load_before"])
    yield f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mib']} MiB, Linux {machine['kernel']}, load {load}"
    yield (
        f"{settings['rounds']} rounds: each alone for {settings['seconds']} s, then all together in "
        f"{settings['turns']} turns of {settings['turn_seconds']} s each (CPU); {settings['connections']} kept connections; "
        f"1 KiB replies; one worker each; {settings['placement']}"
    )
    disturbed = {
        name: entry["summary"]["disturbed_rounds"]
        for name, entry in result["contenders"].items()
        if entry.get("summary", {}).get("disturbed_rounds")
    }
    if disturbed:
        list_ = ", ".join(f"{name} {count}" for name, count in disturbed.items())
        yield f"DISTURBED: other processes used over {DISTURBED:.0%} of a core in rounds of: {list_}. Run it again when idle."


def terminal(result):
    """Aligned columns."""
    lines = [*notes(result), ""]
    if result["contenders"]:
        lines += [*aligned(list(rows(result)), words_last=True), ""]
    for says, table, words_last in checks(result):
        lines += [says, *(f"    {line}" for line in aligned(table, words_last))]
    return "\n".join(lines)


def aligned(table, words_last):
    """The lines of a table: names to the left, figures to the right, and the last column to the left if it is words."""
    widths = [max(map(len, column)) for column in zip(*table)]
    for row in table:
        left = (0, len(row) - 1) if words_last else (0,)
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        yield "  ".join(cells).rstrip()


def markdown(result):
    """Tables and two lists."""
    lines = ["# Bench", "", *[f"- {note}" for note in notes(result)], ""]
    if result["contenders"]:
        lines += [*piped(list(rows(result)), words_last=True), ""]
    for says, table, words_last in checks(result):
        lines += [f"- {says}", *(["", *piped(table, words_last), ""] if table else [])]
    return "\n".join([*lines, ""])


def piped(table, words_last):
    """The lines of a table in Markdown."""
    align = [":--", *["--:"] * (len(table[0]) - 2), ":--" if words_last else "--:"]
    return ["| " + " | ".join(row) + " |" for row in [table[0], align, *table[1:]]]


def write(result, directory):
    """bench.json and bench.md."""
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "bench.json"), "w") as out:
        json.dump(result, out, indent=1)
        out.write("\n")
    with open(os.path.join(directory, "bench.md"), "w") as out:
        out.write(markdown(result))
