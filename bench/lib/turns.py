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


def together(bench, contenders, turns, connections, seconds=TURN_SECONDS):
    """CPU time of each contender a reply in µs, its replies a second of its turns, and what went wrong."""
    with contextlib.ExitStack() as stack:
        running = {one.name: stack.enter_context(bench.start(one)) for one in contenders}
        for one in contenders:
            load.warm(one, running[one.name], connections, bench.cores)
        before = {name: machine.cpu_times(each.pid) for name, each in running.items()}
        loads = {
            one.name: stack.enter_context(load.paused(one, running[one.name], connections, bench.cores))
            for one in contenders
        }
        for _ in range(turns):
            for each in random.sample(list(loads.values()), len(loads)):
                each.go()
                time.sleep(seconds)
                each.rest()
        result = {}
        for name, each in loads.items():
            done = each.end()
            user, system = [
                (now - then) / done["requests"] * 1e6
                for now, then in zip(machine.cpu_times(running[name].pid), before[name])
            ]
            result[name] = {
                "cpu_us": user + system,
                "user_us": user,
                "system_us": system,
                "per_second": done["requests"] / (turns * seconds),
                "errors": done["errors"],
                "refused": done["refused"],
            }
        return result
