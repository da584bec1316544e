"""Counts each request in a file and says which it was."""

import os

OUT = os.open(os.environ["COUNTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def application(environ, start_response):
    method, target = environ["REQUEST_METHOD"], environ["RAW_URI"]
    os.write(OUT, f"200 {method} {target}\n".encode("latin-1", "replace"))
    while environ["wsgi.input"].read(65536):
        pass
    body = f"{method} {target}".encode("latin-1", "replace")
    start_response("200 OK", [("Content-Length", str(len(body)))])
    # The server would send it, and the client does not expect it.
    return [] if method == "HEAD" else [body]
