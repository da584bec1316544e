"""Load generators and what they print."""

import os
import re
import signal
import subprocess

from .contender import Broken, CONFIG

# Requests over HTTP/2 that stand for a second, and connections on which they are.
WARM_REQUESTS = 5_000
H2_CONNECTIONS = 4
# How long a number of requests may take before something that is slowed down by what watches it.
H1_SECONDS = 300
UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000}


def pinned(cores):
    """Runs a child on these cores only."""
    return None if cores is None else lambda: os.sched_setaffinity(0, cores)


def run(command, cores, timeout):
    """The output of a tool that must succeed."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, preexec_fn=pinned(cores)
    )
    if done.returncode != 0:
        raise Broken(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def number(pattern, text, default=None):
    """The first group as a number."""
    found = re.search(pattern, text)
    if found is None and default is None:
        raise Broken(f"no {pattern!r} in:\n{text}")
    return float(found.group(1)) if found else default


def percentile_us(text, percent):
    """A line such as `     99%    2.34ms` in microseconds."""
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    if found is None:
        raise Broken(f"no {percent}% in:\n{text}")
    return float(found.group(1)) * UNITS[found.group(2)]


def longest_us(text):
    """The longest time, of the line of a thread: `    Latency   635.91us    0.89ms  12.92ms   93.69%`."""
    found = re.search(r"^\s+Latency\s+\S+\s+\S+\s+([\d.]+)(us|ms|s|m)\s", text, re.MULTILINE)
    if found is None:
        raise Broken(f"no line of latencies in:\n{text}")
    return float(found.group(1)) * UNITS[found.group(2)]


def wrk_command(port, seconds, connections, script=None, arguments=(), tls=False, path="/"):
    """Requests one after another on each of so many kept connections, for so many seconds."""
    url = f"http{'s' if tls else ''}://127.0.0.1:{port}{path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", url]
    if script is not None:
        command[1:1] = ["-s", os.path.join(CONFIG, script)]
        command += ["--", *map(str, arguments)]
    return command


def wrk(port, seconds, connections, cores, script=None, arguments=(), tls=False, path="/"):
    """What wrk counts in so many seconds."""
    command = wrk_command(port, seconds, connections, script, arguments, tls, path)
    return counted(run(command, cores, seconds + 60))


def warm(one, running, connections, cores, seconds=1):
    """About so many seconds of what is sent to a contender."""
    if one.http2:
        h2load(running.port, seconds * WARM_REQUESTS, H2_CONNECTIONS, connections // H2_CONNECTIONS, cores)
    else:
        wrk(running.port, seconds, connections, cores, one.script, one.argued(0), one.tls, one.path)


def paused(one, running, connections, cores):
    """What is sent to a contender, in turns; use it in a `with`."""
    if one.http2:
        return PausedStreams(running.port, connections, cores, f"{running.home}/h2load.log")
    return Paused(running.port, connections, cores, one.script, one.argued(1), one.tls, one.path)


class Background:
    """A generator beside what is measured; use it in a `with`, at whose end it has ended or is killed."""

    def __init__(self, command, cores):
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=pinned(cores)
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Timed:
    """One caller for so many seconds, who sends when the answer is there, while something else happens.

    At the end of the `with` it has ended, and `counted` is there.
    """

    def __init__(self, port, seconds, cores):
        command = wrk_command(port, seconds, 1)
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(cores)
        )
        self.seconds, self.counted = seconds, None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
        text = self.process.communicate(timeout=self.seconds + 60)[0]
        if kind is None:
            self.counted = counted(text)


class Paused:
    """wrk that sends only between `go` and `rest`; use it in a `with`."""

    # It is told when to end.
    LONGEST_SECONDS = 3600
    ASKED_TO_END = 20

    def __init__(self, port, connections, cores, script=None, arguments=(), tls=False, path="/"):
        command = wrk_command(port, self.LONGEST_SECONDS, connections, script, arguments, tls, path)
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(cores)
        )
        self.rest()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def go(self):
        """Lets it send."""
        self.process.send_signal(signal.SIGCONT)

    def rest(self):
        """Stops it where it is."""
        self.process.send_signal(signal.SIGSTOP)

    def end(self):
        """What it counted."""
        self.go()
        # Until the signal reaches the thread that sleeps: behind a pause it may go to the one that sends.
        for _ in range(self.ASKED_TO_END):
            self.process.send_signal(signal.SIGINT)
            try:
                return counted(self.process.communicate(timeout=0.5)[0])
            except subprocess.TimeoutExpired:
                pass
        raise Broken("wrk does not end")


class PausedStreams(Paused):
    """The same over HTTP/2 by h2load, whose log of replies is counted, since it says nothing when it is ended."""

    def __init__(self, port, connections, cores, log):
        self.log = log
        command = ["h2load", f"-D{self.LONGEST_SECONDS}", f"-c{H2_CONNECTIONS}", f"-m{connections // H2_CONNECTIONS}"]
        command += ["-t1", f"--log-file={log}", f"https://127.0.0.1:{port}/"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=pinned(cores)
        )
        self.rest()

    def end(self):
        """What its log counted: a line a reply, with the status as its second word."""
        self.process.kill()
        self.process.wait()
        with open(self.log) as lines:
            statuses = [line.split("\t")[1] for line in lines if line.count("\t") >= 2]
        good = sum(status.startswith("2") for status in statuses)
        return {"requests": good, "errors": 0, "refused": len(statuses) - good}


def counted(text):
    """What wrk says."""
    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = sum(int(count) for count in socket_errors.groups()) if socket_errors else 0
    return {
        "requests": int(number(r"(\d+) requests in", text)),
        "per_second": number(r"Requests/sec:\s+([\d.]+)", text),
        "p50_us": percentile_us(text, 50),
        "p99_us": percentile_us(text, 99),
        "max_us": longest_us(text),
        "errors": errors,
        "refused": int(number(r"Non-2xx or 3xx responses: (\d+)", text, 0)),
    }


def round_trip(port, core):
    """A PING to Redis and back, one after another, in µs."""
    command = ["redis-benchmark", "-p", str(port), "-c", "1", "-n", "20000", "--csv", "-t", "ping_mbulk"]
    text = run(command, None if core is None else {core}, 60)
    # "test","rps","avg","min","p50","p95","p99","max", times in ms.
    words = [word.strip('"') for word in text.strip().splitlines()[-1].split(",")]
    return {"p50_us": float(words[4]) * 1e3, "p99_us": float(words[6]) * 1e3}


def h1load(port, requests, connections, cores):
    """So many requests over HTTP/1 on kept connections, neither more nor fewer; all must succeed."""
    command = ["h2load", "--h1", f"-n{requests}", f"-c{connections}", "-t1", f"http://127.0.0.1:{port}/"]
    text = run(command, cores, H1_SECONDS)
    good = int(number(r"status codes: (\d+) 2xx", text))
    if good != requests:
        raise Broken(f"{requests - good} of {requests} requests failed:\n{text}")


def h2load(port, requests, connections, streams, cores):
    """Requests over TLS and HTTP/2, so many streams at once on each connection."""
    command = ["h2load", f"-n{requests}", f"-c{connections}", f"-m{streams}", "-t1", f"https://127.0.0.1:{port}/"]
    text = run(command, cores, 120)
    return {
        "requests": requests,
        "succeeded": int(number(r"(\d+) succeeded", text)),
        "errors": requests - int(number(r"status codes: (\d+) 2xx", text)),
        "per_second": number(r"([\d.]+) req/s", text),
        "protocol": re.search(r"Application protocol: (\S+)", text).group(1),
    }
