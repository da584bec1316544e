"""The proxy before one origin."""

import asyncio
import json
import os
import signal
import subprocess

# No limit but those under test may stop a payload.
CONFIG = """
[server]
listen = "127.0.0.1:0"
admin = "off"
max_header_bytes = "128KiB"

[upstream]
url = "http://127.0.0.1:{port}"

[log]
level = "info"
"""
STARTUP = 15
DRAIN = 40


class Proxy:
    """A process of the binary under test."""

    def __init__(self, binary, origin, home):
        self.origin = origin
        self.home = os.path.join(home, f"proxy-{origin.name}")
        os.makedirs(self.home, exist_ok=True)
        self.log = os.path.join(self.home, "log")
        self.binary = binary
        self.child = None
        self.port = None

    async def start(self):
        with open(os.path.join(self.home, "vestibule.toml"), "w") as config:
            config.write(CONFIG.format(port=self.origin.port))
        os.chmod(os.path.join(self.home, "vestibule.toml"), 0o600)
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                [self.binary, "run", "-c", "vestibule.toml"], cwd=self.home, stdin=subprocess.DEVNULL, stderr=log, stdout=log
            )
        for _ in range(STARTUP * 20):
            for line in self.lines():
                if line.get("msg") == "listening" and line.get("listener") == "proxy":
                    self.port = int(line["addr"].rsplit(":", 1)[1])
                    return
            if self.child.poll() is not None:
                break
            await asyncio.sleep(0.05)
        raise RuntimeError(f"the proxy does not listen; see {self.log}")

    async def stop(self):
        """Drains it, so that every line is written."""
        self.child.send_signal(signal.SIGTERM)
        for _ in range(DRAIN * 20):
            if self.child.poll() is not None:
                return
            await asyncio.sleep(0.05)
        self.child.kill()
        self.child.wait()

    def lines(self):
        with open(self.log, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    parsed = json.loads(line)
                except ValueError:
                    continue
                if isinstance(parsed, dict):
                    yield parsed

    def audited(self):
        """The path of each request that has an access line."""
        return [line.get("path") or "" for line in self.lines() if line.get("msg") == "request"]
