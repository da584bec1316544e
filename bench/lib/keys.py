"""A key endpoint that can be made to hang, and tokens that its key has signed."""

import base64
import json
import os
import socket
import subprocess
import threading
import time

# Bytes of a coordinate, and of each half of a signature (RFC 7518 sections 3.4 and 6.2.1).
COORDINATE = 32


def url64(value):
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def halves(der):
    """The two numbers of an ECDSA signature in DER, as RFC 7518 writes them."""
    first = der[4 : 4 + der[3]]
    second = der[6 + der[3] :]
    return b"".join(number[-COORDINATE:].rjust(COORDINATE, b"\0") for number in (first, second))


class Endpoint:
    """A key set on a port of its own. While it hangs, connections are taken and nothing is answered."""

    def __init__(self, directory):
        self.pem = os.path.join(directory, "endpoint.pem")
        make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.pem]
        subprocess.run(make, check=True, capture_output=True)
        public = ["openssl", "ec", "-in", self.pem, "-pubout", "-outform", "DER"]
        point = subprocess.run(public, check=True, capture_output=True).stdout[-2 * COORDINATE :]
        x, y = url64(point[:COORDINATE]), url64(point[COORDINATE:])
        key = {"kty": "EC", "crv": "P-256", "kid": "bench", "alg": "ES256", "use": "sig", "x": x, "y": y}
        self.body = json.dumps({"keys": [key]}).encode()
        self.hangs, self.fetched, self.held = False, 0, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/keys"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        """Until the listener is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.fetched += 1
            if self.hangs:
                self.held.append(client)
                continue
            with client:
                client.recv(65536)
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(self.body)}\r\n"
                client.sendall(head.encode() + b"connection: close\r\n\r\n" + self.body)

    def token(self):
        """Good for an hour."""
        header = {"alg": "ES256", "kid": "bench"}
        signed = ".".join(url64(json.dumps(part).encode()) for part in (header, {"sub": "alice", "exp": int(time.time()) + 3600}))
        sign = ["openssl", "dgst", "-sha256", "-sign", self.pem]
        return f"{signed}.{url64(halves(subprocess.run(sign, input=signed.encode(), check=True, capture_output=True).stdout))}"

    def close(self):
        """Nobody is answered any more."""
        for one in [self.listener, *self.held]:
            one.close()
