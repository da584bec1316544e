"""All contenders at once, each under load for a tenth of a second in turn.

What disturbs a machine, a neighbour on its cache or its heat, lasts longer than that. So all of them meet the same, and
the ratio of their CPU times is far steadier than that of measurements which follow one another.
"""

import contextlib
import random
import time

from . import load, machine

# Long against the 64 requests that are still served when a turn ends, short against a disturbance.
TURN_SECONDS = 0.1


def together(bench, contenders, turns, connections):
    """CPU time of each contender a reply in µs, its replies a second of its turns, and what went wrong."""
    with contextlib.ExitStack() as stack:
        running = {one.name: stack.enter_context(bench.start(one)) for one in contenders}
        for one, each in zip(contenders, running.values()):
            load.wrk(each.port, 1, connections, bench.cores, one.script, one.arguments)
        before = {name: machine.cpu_seconds(each.pid) for name, each in running.items()}
        loads = {
            one.name: stack.enter_context(
                load.Paused(running[one.name].port, connections, bench.cores, one.script, one.arguments)
            )
            for one in contenders
        }
        for _ in range(turns):
            for each in random.sample(list(loads.values()), len(loads)):
                each.go()
                time.sleep(TURN_SECONDS)
                each.rest()
        result = {}
        for name, each in loads.items():
            done = each.end()
            spent = machine.cpu_seconds(running[name].pid) - before[name]
            result[name] = {
                "cpu_us": spent / done["requests"] * 1e6,
                "per_second": done["requests"] / (turns * TURN_SECONDS),
                "errors": done["errors"],
                "refused": done["refused"],
            }
        return result
