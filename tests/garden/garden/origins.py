"""Origins behind the proxy. Each says which requests it counted: one line a request in a file."""

import asyncio
import os
import shutil
import socket
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))

# Between start and the first connection that is accepted.
STARTUP = 15

NGINX = """
daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/nginx.log error;
events {{ worker_connections 1024; }}
http {{
    # A head that is taken gets as far as its location, whatever becomes of its body.
    map $taken $counted {{ 1 200; default 400; }}
    log_format counted '$counted $request_method $request_uri'; uninitialized_variable_warn off;
    access_log {home}/counted counted;
    client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
    large_client_header_buffers 16 64k; keepalive_timeout 600s; keepalive_requests 1000000;
    # Behind itself, so that it reads a body before it answers: an early answer ends the client's connection.
    server {{
        listen 127.0.0.1:{port}; merge_slashes off;
        location / {{ set $taken 1; proxy_pass http://127.0.0.1:{behind}; proxy_set_header X-Target $request_uri; }}
    }}
    server {{
        listen 127.0.0.1:{behind}; merge_slashes off; access_log off;
        location / {{ return 200 "$request_method $http_x_target"; }}
    }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """An origin that is a program of its own."""

    def __init__(self, name, home):
        self.name = name
        self.home = os.path.join(home, name)
        os.makedirs(self.home, exist_ok=True)
        self.counted = os.path.join(self.home, "counted")
        open(self.counted, "w").close()
        self.port = free_port()
        self.child = None

    def command(self):
        raise NotImplementedError

    async def start(self):
        command, environment = self.command()
        said = open(os.path.join(self.home, "said"), "wb")
        self.child = subprocess.Popen(
            command, cwd=self.home, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        for _ in range(STARTUP * 20):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            except OSError:
                if self.child.poll() is not None:
                    break
                await asyncio.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen; see {self.home}/said")

    async def stop(self):
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def requests(self):
        """`status method target` of each request; one that the origin refused has status 400."""
        with open(self.counted, encoding="latin-1") as lines:
            return [line.rstrip("\n") for line in lines]


class Nginx(Process):
    """nginx."""

    def command(self):
        config = os.path.join(self.home, "nginx.conf")
        with open(config, "w") as out:
            out.write(NGINX.format(home=self.home, port=self.port, behind=free_port()))
        return [tool("nginx"), "-p", self.home, "-c", config], {}


class Node(Process):
    """Node's `http` server."""

    def command(self):
        script = os.path.join(HERE, "origin.js")
        return [tool("node"), "--max-http-header-size=131072", script, str(self.port), self.counted], {}


class Gunicorn(Process):
    """gunicorn with threads, which keeps connections alive."""

    def command(self):
        command = [gunicorn(), "--bind", f"127.0.0.1:{self.port}", "--chdir", HERE, "--worker-class", "gthread"]
        command += ["--threads", "64", "--keep-alive", "600", "--limit-request-line", "8190"]
        command += ["--limit-request-field_size", "0", "--limit-request-fields", "300", "--log-level", "warning"]
        return [*command, "wsgi:application"], {"COUNTED": self.counted, "PYTHONDONTWRITEBYTECODE": "1"}


def tool(name):
    """Path of a command; some servers live where only root's PATH looks."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def gunicorn():
    """Of the virtual environment that the Makefile makes, else of the PATH."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
    own = os.path.join(root, "target", "garden", "venv", "bin", "gunicorn")
    return own if os.path.exists(own) else tool("gunicorn")


def available(home):
    """Every origin whose program is here, and the names of those whose is not."""
    all = [(Nginx, "nginx", tool("nginx")), (Node, "node", tool("node")), (Gunicorn, "gunicorn", gunicorn())]
    return [kind(name, home) for kind, name, path in all if path], [name for _, name, path in all if not path]
