"""An issuer of tokens: signs them, and serves its keys over HTTP as OpenID Connect has it."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

AUDIENCE = "shop"


@cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """A private key; the same number is the same key. Making one takes 50 ms."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_set(*key_ids: str) -> dict[str, Any]:
    """A set of public keys; the n-th id is that of key n."""
    keys = []
    for number, key_id in enumerate(key_ids):
        public = RSAAlgorithm.to_jwk(rsa_key(number).public_key(), as_dict=True)
        keys.append({**public, "kid": key_id, "alg": "RS256", "use": "sig"})
    return {"keys": keys}


def a_token(
    issuer: str,
    *,
    key_id: str | None = "key-0",
    number: int = 0,
    algorithm: str = "RS256",
    key: Any = None,
    **claims: Any,
) -> str:
    """A token of `issuer` for `AUDIENCE`, good for a minute; a claim of None is left out."""
    now = int(time.time())
    values = {"iss": issuer, "aud": AUDIENCE, "sub": "user-7", "exp": now + 60, **claims}
    signer: Any = None if algorithm == "none" else key or rsa_key(number)
    return jwt.encode(
        {name: value for name, value in values.items() if value is not None},
        signer,
        algorithm=algorithm,
        headers={} if key_id is None else {"kid": key_id},
    )


@dataclass
class Issuer:
    """An issuer that is running; `keys` may change while it does."""

    url: str
    keys: dict[str, Any] = field(default_factory=lambda: key_set("key-0"))
    asked: list[str] = field(default_factory=list)


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """An issuer on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            if self.path == "/.well-known/openid-configuration":
                shown: Any = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
            elif self.path == "/keys":
                shown = issuer.keys
            else:
                self.send_error(404)
                return
            body = json.dumps(shown).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
