"""The programs that are measured, each started the same way."""

import os
import shutil
import signal
import socket
import subprocess
import time

from . import machine

CONFIG = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "config")


class Broken(Exception):
    """A program that did not start, or requests that failed."""


def fill(name, into, **values):
    """Writes the template `name` with its @MARKS@ replaced to the path `into`."""
    with open(os.path.join(CONFIG, name)) as template:
        text = template.read()
    for mark, value in values.items():
        text = text.replace(f"@{mark}@", str(value))
    with open(into, "w") as out:
        out.write(text)
    return into


def answers(port, timeout=1.0):
    """Whether GET / on the port answers 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def accepts(port):
    """Whether the port takes connections."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
        return True
    except OSError:
        return False


class Running:
    """A started program; use it in a `with`."""

    def __init__(self, name, command, port, directory, core=None, admin=None, ready=answers):
        self.name, self.port, self.admin = name, port, admin
        log_path = os.path.join(directory, "stderr")
        pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
        began = time.perf_counter()
        with open(log_path, "wb") as log:
            sink = subprocess.DEVNULL if name == "vestibule-log" else log
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=directory, preexec_fn=pin
            )
        while not ready(port):
            if self.process.poll() is not None or time.perf_counter() - began > 20:
                self.stop()
                with open(log_path, errors="replace") as log:
                    raise Broken(f"{name} did not serve (exit {self.process.returncode}):\n{log.read()[-4000:]}")
            time.sleep(0.0005)
        self.start_seconds = time.perf_counter() - began
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends it at once, with everything below it."""
        pids = machine.tree(self.process.pid) if self.process.poll() is None else []
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


class Contender:
    """How to start one of them, and what wrk sends to it. `missing` says why that is impossible here, or is None."""

    def __init__(self, name, says, build, missing=None, http2=False, script=None, arguments=()):
        self.name, self.says, self.build, self.missing, self.http2 = name, says, build, missing, http2
        self.script, self.arguments = script, arguments

    def start(self, directory, origin, core):
        """Starts it in a directory of its own before the origin on that port."""
        home = os.path.join(directory, self.name)
        shutil.rmtree(home, ignore_errors=True)
        os.mkdir(home)
        port, admin = machine.free_port(), machine.free_port()
        command = self.build(home, directory, port, admin, origin)
        ready = accepts if self.http2 else answers
        return Running(self.name, command, port, home, core, admin, ready)


def user():
    """Workers keep the user that starts them, else they could not write to its directory."""
    return "user root;" if os.geteuid() == 0 else ""


def start_origin(directory, core):
    """nginx with 1 KiB from memory."""
    home = os.path.join(directory, "origin")
    os.mkdir(home)
    port = machine.free_port()
    conf = fill("origin.conf", f"{home}/nginx.conf", PORT=port, DIR=home, USER=user(), BODY="x" * 1024)
    return Running("origin", [shutil.which("nginx"), "-p", home, "-c", conf], port, home, core)


def redis(directory, cores):
    """A store without persistence."""
    home = os.path.join(directory, "redis")
    os.makedirs(home, exist_ok=True)
    port = machine.free_port()
    command = [shutil.which("redis-server"), "--port", str(port), "--save", "", "--appendonly", "no"]
    running = Running("redis", command, port, home, ready=accepts)
    if cores is not None:
        os.sched_setaffinity(running.pid, cores)
    return running


def nginx(zone="", limit=""):
    """nginx as a proxy with one worker."""

    def build(home, _shared, port, _admin, origin):
        values = {"PORT": port, "DIR": home, "ORIGIN": origin, "USER": user(), "ZONE": zone, "LIMIT": limit}
        return ["nginx", "-p", home, "-c", fill("nginx.conf", f"{home}/nginx.conf", **values)]

    return build


def haproxy(home, _shared, port, _admin, origin):
    """HAProxy with one thread, in the foreground."""
    return ["haproxy", "-db", "-f", fill("haproxy.cfg", f"{home}/haproxy.cfg", PORT=port, ORIGIN=origin)]


def bare(binary):
    """pingora-proxy alone, with one thread."""
    return lambda _home, _shared, port, _admin, origin: [binary, f"127.0.0.1:{port}", f"127.0.0.1:{origin}", "1"]


def secret(directory, name="secret"):
    """A secret of 32 bytes that its owner alone can read; its path."""
    path = os.path.join(directory, name)
    with open(path, "w") as file:
        file.write("0123456789abcdef0123456789abcdef")
        os.fchmod(file.fileno(), 0o600)
    return path


def vestibule(binary, template, **more):
    """Vestibule with one worker and this configuration; `more` are further marks of the template."""

    def build(home, shared, port, admin, origin):
        values = {"PORT": port, "ADMIN": admin, "ORIGIN": origin, "DIR": shared} | more
        return [binary, "run", "-c", fill(template, f"{home}/vestibule.toml", **values)]

    return build


def tool(name):
    """Why the tool cannot be used, or None."""
    return None if shutil.which(name) else f"{name} is not installed"


def built(path):
    """Why the binary cannot be used, or None."""
    return None if os.access(path, os.X_OK) else f"{path} is not built"


def contenders(bare_path, vestibule_path):
    """The rows of the table, in order; the first is what the others are divided by."""
    zone = "limit_req_zone $binary_remote_addr zone=each:10m rate=1000000r/s;"
    no_vestibule = built(vestibule_path)

    def ours(name, says):
        return Contender(name, says, vestibule(vestibule_path, f"{name}.toml"), no_vestibule)

    return [
        Contender("bare", "pingora-proxy alone", bare(bare_path), built(bare_path)),
        Contender("nginx", "proxy_pass", nginx(), tool("nginx")),
        Contender(
            "nginx-limit", "proxy_pass and limit_req", nginx(zone, "limit_req zone=each burst=1000000 nodelay;"), tool("nginx")
        ),
        Contender("haproxy", "mode http", haproxy, tool("haproxy")),
        ours("vestibule-off", "nothing on"),
        ours("vestibule-on", "trace, metrics, rate limit, ETag"),
        ours("vestibule-log", "the same and an access line"),
        ours("vestibule-all", "every plugin"),
    ]


def special(vestibule_path, template, http2=False):
    """Vestibule with a configuration of its own, for one check."""
    name = template.removesuffix(".toml")
    return Contender(name, "", vestibule(vestibule_path, template), built(vestibule_path), http2)
