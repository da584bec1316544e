"""The programs that are measured, each started the same way."""

import os
import shutil
import signal
import socket
import subprocess
import time

from . import machine

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CONFIG = os.path.join(BENCH, "config")
# Where bench/tools puts what is no package of Debian's.
TOOLS = os.path.join(os.path.dirname(BENCH), "target", "bench-tools")
LUA_MODULES = f"{TOOLS}/lua/usr/lib/nginx/modules"
# Libraries that the Lua module needs, and that are installed nowhere.
LUA_LIBRARIES = f"{TOOLS}/lua/usr/lib/x86_64-linux-gnu:{TOOLS}/lua/lib/x86_64-linux-gnu"
START_SECONDS = 20
# Bodies of the origin, by their path.
BODIES = {"64k": 64 * 2**10, "10m": 10 * 2**20, "50m": 50 * 2**20}


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

    def __init__(self, name, command, port, directory, core=None, admin=None, ready=answers, patience=START_SECONDS):
        self.name, self.port, self.admin, self.home = name, port, admin, directory
        log_path = os.path.join(directory, "stderr")
        pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
        began = time.perf_counter()
        with open(log_path, "wb") as log:
            sink = subprocess.DEVNULL if name.endswith("-log") else log
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=directory, preexec_fn=pin
            )
        while not ready(port):
            if self.process.poll() is not None or time.perf_counter() - began > patience:
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

    def end(self, seconds):
        """Asks it to end, and waits so long."""
        self.process.terminate()
        self.process.wait(seconds)

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
    """How to start one of them, and what is sent to it.

    `missing` says why that is impossible here, or is None. `arguments` are those of the wrk script, or a function that
    makes them of the number of times that load was sent before. `http2` has h2load send it over TLS, else `tls` wrk.
    """

    def __init__(self, name, says, build, missing=None, http2=False, script=None, arguments=(), tls=False, path="/"):
        self.name, self.says, self.build, self.missing = name, says, build, missing
        self.script, self.arguments, self.path = script, arguments, path
        self.http2, self.tls = http2, tls or http2

    def start(self, directory, origin, core, under=(), patience=START_SECONDS):
        """Starts it in a directory of its own before the origin on that port; `under` is a command to start it with."""
        home = os.path.join(directory, self.name)
        shutil.rmtree(home, ignore_errors=True)
        os.mkdir(home)
        port, admin = machine.free_port(), machine.free_port()
        command = [*under, *self.build(home, directory, port, admin, origin)]
        ready = accepts if self.tls else answers
        return Running(self.name, command, port, home, core, admin, ready, patience)

    def argued(self, times):
        """The arguments of the script when load was sent so many times before."""
        return self.arguments(times) if callable(self.arguments) else self.arguments


def user():
    """Workers keep the user that starts them, else they could not write to its directory."""
    return "user root;" if os.geteuid() == 0 else ""


def start_origin(directory, core):
    """nginx with 1 KiB from memory, and larger bodies from files that the kernel has in memory."""
    home = os.path.join(directory, "origin")
    os.makedirs(f"{home}/files")
    for name, size in BODIES.items():
        with open(f"{home}/files/{name}", "wb") as body:
            body.write(b"x" * size)
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


def nginx(http="access_log off;", location="", tls=False, extra=()):
    """nginx as a proxy with one worker; `http` and `location` are lines of its configuration, `extra` of its command."""

    def build(home, shared, port, _admin, origin):
        certificate = f"ssl_certificate {shared}/cert.pem; ssl_certificate_key {shared}/key.pem;" if tls else ""
        values = {"PORT": port, "DIR": home, "ORIGIN": origin, "USER": user(), "HTTP": http, "LOCATION": location}
        # Since 1.25.1 `http2 on` is meant to say it, and this still does.
        values |= {"SSL": "ssl http2" if tls else "", "CERTIFICATE": certificate}
        return ["nginx", "-p", home, "-c", fill("nginx.conf", f"{home}/nginx.conf", **values), *extra]

    return build


def nginx_lua(home, _shared, port, _admin, origin):
    """nginx with a limit, a trace id and counters in Lua."""
    values = {"PORT": port, "DIR": home, "ORIGIN": origin, "USER": user(), "MODULES": LUA_MODULES}
    values |= {"LUA": f"{TOOLS}/lua/usr/share/lua/5.1", "CONFIG": CONFIG}
    conf = fill("nginx-lua.conf", f"{home}/nginx.conf", **values)
    return ["env", f"LD_LIBRARY_PATH={LUA_LIBRARIES}", "nginx", "-p", home, "-c", conf]


def haproxy(home, _shared, port, _admin, origin):
    """HAProxy with one thread, in the foreground."""
    return ["haproxy", "-db", "-f", fill("haproxy.cfg", f"{home}/haproxy.cfg", PORT=port, ORIGIN=origin)]


def envoy(home, _shared, port, _admin, origin):
    """Envoy with one worker."""
    conf = fill("envoy.json", f"{home}/envoy.json", PORT=port, ORIGIN=origin)
    return [found("envoy"), "-c", conf, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


def traefik(home, _shared, port, _admin, origin):
    """Traefik with one thread of Go."""
    routes = fill("traefik-routes.toml", f"{home}/routes.toml", ORIGIN=origin)
    conf = fill("traefik.toml", f"{home}/traefik.toml", PORT=port, ROUTES=routes)
    return ["env", "GOMAXPROCS=1", found("traefik"), f"--configFile={conf}"]


def caddy(home, _shared, port, _admin, origin):
    """Caddy with one thread of Go, which writes below its home alone."""
    conf = fill("Caddyfile", f"{home}/Caddyfile", PORT=port, ORIGIN=origin)
    return ["env", "GOMAXPROCS=1", f"HOME={home}", found("caddy"), "run", "--adapter", "caddyfile", "--config", conf]


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
        values = {"PORT": port, "ADMIN": admin, "ORIGIN": origin, "DIR": shared, "HOME": home, "SERVER": "", "WORKERS": 1} | more
        return [binary, "run", "-c", fill(template, f"{home}/vestibule.toml", **values)]

    return build


def tls_lines(directory):
    """The lines of Vestibule's configuration that serve TLS with the certificate in that directory."""
    return f'tls = {{ cert_file = "{directory}/cert.pem", key_file = "{directory}/key.pem" }}'


def certificate(directory):
    """A self-signed certificate for localhost as cert.pem and key.pem."""
    if os.path.exists(f"{directory}/cert.pem"):
        return
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost".split()
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", f"{directory}/key.pem", "-out", f"{directory}/cert.pem"]
    subprocess.run(command + files, check=True, capture_output=True)
    os.chmod(f"{directory}/key.pem", 0o600)


def found(name):
    """The path of a tool that bench/tools brings, else of an installed one, or None."""
    path = f"{TOOLS}/bin/{name}"
    return path if os.access(path, os.X_OK) else shutil.which(name)


def brought(name):
    """Why such a tool cannot be used, or None."""
    return None if found(name) else f"{name} is not there: bench/tools brings it"


def lua():
    """Why nginx cannot load its Lua module, or None."""
    if os.path.exists(f"{LUA_MODULES}/ngx_http_lua_module.so"):
        return tool("nginx")
    return "nginx's Lua module is not there: bench/tools brings it"


def tool(name):
    """Why the tool cannot be used, or None."""
    return None if shutil.which(name) else f"{name} is not installed"


def built(path):
    """Why the binary cannot be used, or None."""
    return None if os.access(path, os.X_OK) else f"{path} is not built"


# So high that nothing is refused.
ZONE = "limit_req_zone $binary_remote_addr zone=each:10m rate=1000000r/s;"
LIMIT = "limit_req zone=each burst=1000000 nodelay;"
# What an access line of Vestibule says, in nginx's words; several in one write, as Vestibule does.
LOG = """log_format line escape=json '{"time":"$time_iso8601","method":"$request_method","uri":"$uri","status":$status,'
        '"bytes":$body_bytes_sent,"request_time":$request_time,"upstream_time":"$upstream_response_time",'
        '"request_id":"$request_id"}';
    access_log /dev/null line buffer=64k flush=1s;"""


def ours(vestibule_path, name, says):
    """Vestibule with the configuration of that name."""
    return Contender(name, says, vestibule(vestibule_path, f"{name}.toml"), built(vestibule_path))


# Vestibule's rows: what is on in each.
OURS = {
    "off": "nothing on",
    "on": "trace, metrics, rate limit, ETag",
    "log": "the same and an access line",
    "all": "every plugin",
}


def released(path):
    """The same rows of the binary that `make release` has built."""
    missing = built(path) and f"{path} is not there: make release builds it"
    for what, says in OURS.items():
        build = vestibule(path, f"vestibule-{what}.toml")
        yield Contender(f"released-{what}", f"{says}; built by a profile", build, missing)


def contenders(bare_path, vestibule_path, released_path):
    """The rows of the table, in order; the first is what the others are divided by."""
    no_nginx = tool("nginx")
    return [
        Contender("bare", "pingora-proxy alone", bare(bare_path), built(bare_path)),
        Contender("nginx", "proxy_pass", nginx(), no_nginx),
        Contender("nginx-limit", "proxy_pass and limit_req", nginx(f"{ZONE} access_log off;", LIMIT), no_nginx),
        Contender("nginx-log", "the same and a JSON access line", nginx(f"{ZONE}\n    {LOG}", LIMIT), no_nginx),
        Contender("nginx-lua", "limit, trace id and counters in Lua", nginx_lua, lua()),
        Contender("haproxy", "mode http", haproxy, tool("haproxy")),
        Contender("envoy", "router and local rate limit", envoy, brought("envoy")),
        Contender("traefik", "one route", traefik, brought("traefik")),
        Contender("caddy", "reverse_proxy", caddy, brought("caddy")),
        *(ours(vestibule_path, f"vestibule-{what}", says) for what, says in OURS.items()),
        *released(released_path),
    ]


def special(vestibule_path, template, http2=False):
    """Vestibule with a configuration of its own, for one check."""
    name = template.removesuffix(".toml")
    return Contender(name, "", vestibule(vestibule_path, template), built(vestibule_path), http2)
