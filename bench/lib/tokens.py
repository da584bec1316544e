"""What it costs to know who is calling."""

import base64
import hashlib
import hmac
import json
import os
import statistics
import time

from . import contender, measure, turns

SECRET = "0123456789abcdef0123456789abcdef"
# Bytes of a token as identity providers make them.
TOKEN_BYTES = 800
AUTH = """[auth]
algorithms = ["HS256"]
secret_file = "{}/auth-secret"
"""


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
