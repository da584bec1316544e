"""What it costs to know who is calling."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import statistics
import time

from . import contender, keys, load, measure, turns

SECRET = "0123456789abcdef0123456789abcdef"
# Bytes of a token as identity providers make them.
TOKEN_BYTES = 800
AUTH = """[auth]
algorithms = ["HS256"]
secret_file = "{}/auth-secret"
"""
# Keys that are fetched every five seconds, the least there is.
FETCHED = """[auth]
algorithms = ["ES256"]
jwks_url = "{}"
jwks_refresh = "5s"
jwks_timeout = "2s"
"""
FETCH_SECONDS = 5


def token():
    """A token of the usual length, good for an hour."""
    part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=").decode()  # noqa: E731
    claims = {"sub": "alice", "exp": int(time.time()) + 3600, "filler": "x" * (TOKEN_BYTES * 3 // 4 - 130)}
    signed = f"{part(json.dumps({'alg': 'HS256'}).encode())}.{part(json.dumps(claims).encode())}"
    return f"{signed}.{part(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())}"


def cost(bench, binary, rounds, count):
    """CPU time of an anonymous request and of one with a remembered token over the same with the plugin off, in turns."""
    with open(f"{bench.directory}/auth-secret", "w") as secret:
        secret.write(SECRET)
        os.fchmod(secret.fileno(), 0o600)
    bearer = token()
    kinds = {
        "plain-off": ("", None),
        "plain-on": (AUTH, None),
        "token-off": ("", bearer),
        "token-on": (AUTH, bearer),
    }
    every = []
    for name, (auth, held) in kinds.items():
        build = contender.vestibule(binary, "vestibule-auth.toml", AUTH=auth.format(bench.directory))
        sends = {} if held is None else {"script": "bearer.lua", "arguments": (held,)}
        every.append(contender.Contender(name, "", build, contender.built(binary), **sends))
    samples = [turns.together(bench, every, count, measure.CONNECTIONS) for _ in range(rounds)]
    over = lambda kind: statistics.median(  # noqa: E731
        sample[f"{kind}-on"]["cpu_us"] / sample[f"{kind}-off"]["cpu_us"] for sample in samples
    )
    errors = sum(each["errors"] + each["refused"] for sample in samples for each in sample.values())
    return {
        "rounds": samples,
        "anonymous_cpu": over("plain"),
        "token_cpu": over("token"),
        "errors": errors,
        "says": f"over the plugin off: nobody in particular {over('plain'):.3f} × CPU, a remembered token of "
        f"{len(bearer)} bytes {over('token'):.3f} ×; {rounds} rounds, {errors} errors",
    }


def outage(bench, binary, rounds):
    """p99 of one caller whose key is known: the key endpoint answers, and it takes connections and says nothing."""
    endpoint = keys.Endpoint(bench.directory)
    with contextlib.closing(endpoint):
        bearer = endpoint.token()
        build = contender.vestibule(binary, "vestibule-auth.toml", AUTH=FETCHED.format(endpoint.url))
        with bench.start(contender.Contender("fetched", "", build, contender.built(binary))) as running:
            # Long enough that each has a fetch in it.
            timed = lambda: load.wrk(running.port, FETCH_SECONDS + 1, 1, bench.cores, "bearer.lua", (bearer,))  # noqa: E731
            load.wrk(running.port, 1, 1, bench.cores, "bearer.lua", (bearer,))
            samples = {True: [], False: []}
            before = endpoint.fetched
            for _ in range(rounds):
                for hangs in samples:
                    endpoint.hangs = hangs
                    samples[hangs].append(timed())
            verified = measure.sample(measure.metrics(running.admin), "vestibule_auth_decisions_total", outcome="token_cached")
    p99 = {hangs: statistics.median(sample["p99_us"] for sample in each) for hangs, each in samples.items()}
    errors = sum(sample["errors"] + sample["refused"] for each in samples.values() for sample in each)
    return {
        "rounds": {str(hangs): each for hangs, each in samples.items()},
        "fetches": endpoint.fetched - before,
        "verified": verified,
        "errors": errors,
        "says": f"p99 of a caller with a known key: {p99[False]:.0f} µs while the key endpoint answers, {p99[True]:.0f} µs while it "
        f"hangs; {endpoint.fetched - before} fetches, {verified:.0f} verified, {rounds} rounds, {errors} errors",
    }
