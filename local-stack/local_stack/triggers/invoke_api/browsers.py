"""Keeps web pages out of the Lambda API: it is not signed, and any page can reach loopback. Pure.

Three marks that no page can leave out. `Origin`: browsers send it with every POST, and with every
GET that a script may read. `Sec-Fetch-Site`: they send it with everything to loopback, also for a
picture or a link; only what a person typed, or the answer's own page, may pass. `Host`: a name that
an attacker's DNS points at loopback is still the attacker's name. (Fetch Standard; Fetch Metadata.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SUFFIX = ".localhost"  # always loopback (RFC 6761)
_SITES = (b"none", b"same-origin")
_KNOWN_MAX = 64
REFUSAL = "Requests from web pages are refused."
FOREIGN = "Requests for a host of this name are refused; `allowed_hosts` names those to answer."


class Doorkeeper:
    """Says who is refused; remembers the few `Host` headers that it has let in."""

    def __init__(self, allowed_hosts: Iterable[str] = ()) -> None:
        """`allowed_hosts` are names beside loopback's, as containers may use."""
        self._allowed = {*LOOPBACK, *(name.lower() for name in allowed_hosts)}
        self._known: set[bytes] = set()

    def refusal(self, headers: Mapping[bytes, bytes]) -> str:
        """Why a request is refused, or nothing; `headers` have lower-case names."""
        if b"origin" in headers:
            return REFUSAL
        site = headers.get(b"sec-fetch-site")
        if site is not None and site not in _SITES:
            return REFUSAL
        host = headers.get(b"host", b"")
        return "" if host in self._known or self._is_allowed(host) else FOREIGN

    def _is_allowed(self, host: bytes) -> bool:
        text = host.decode("latin-1").lower()
        name, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal():
            name = text
        name = name.removesuffix(".")
        if name not in self._allowed and not name.endswith(SUFFIX):
            return False
        if len(self._known) < _KNOWN_MAX:
            self._known.add(host)
        return True
