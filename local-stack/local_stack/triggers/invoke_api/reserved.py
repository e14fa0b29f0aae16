"""Reserved concurrency that is set while the stack runs: on every host, and again after a restart.

What was set is kept in a small file that all hosts of a stack share, until the next `local-stack
up` starts a stack anew: that is a deployment, after which the template's values hold. A host listens
before it reads the file, and a change is written before the other hosts are told, so a host that
starts in between misses nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from local_stack.errors import InvokeError, RuntimeFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx

    from local_stack.invoke.invoker import Invoker
    from local_stack.settings import Settings

_LOGGER = logging.getLogger(__name__)
FORWARDED = "x-local-stack-forwarded"  # from another host, which tells all of them by itself
PEER_TIMEOUT_S = 2.0
FILE = "reserved-concurrency.json"
PATH = "/2017-10-31/functions/{}/concurrency"


class ReservedConcurrency:
    """Changes the limits of this host's pools, and of the others'."""

    def __init__(self, invoker: Invoker, settings: Settings, index: int) -> None:
        self._invoker = invoker
        self._path = settings.run_dir / FILE
        self._stack_began = settings.run_dir / "settings.json"  # written once, as a stack starts
        others = [i for i in range(1, settings.replicas + 1) if i != index]
        self._peers = [f"http://127.0.0.1:{settings.host_ports(i)[1]}" for i in others]

    def restore(self) -> None:
        """Set what was set before this host started; call it once the host listens."""
        for name, limit in self._read().items():
            if name in self._invoker.pools:
                try:
                    self._invoker.pools[name].set_reserved(limit)
                except InvokeError as error:
                    _LOGGER.warning("reserved concurrency of %s is not set again: %s", name, error)

    async def change(self, name: str, limit: int | None, *, forwarded: bool) -> None:
        """Set the limit of function `name`, None for no limit of its own.

        Raises `InvalidParameter` if too little would be left for others, and `RuntimeFailed` if
        another host refuses what this one took.
        """
        self._invoker.pool(name).set_reserved(limit)
        if forwarded:
            return
        with _locked(self._path.with_suffix(".lock")):
            text = json.dumps({**self._read(), name: limit}, sort_keys=True)
            fresh = self._path.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(self._path)
        await self._tell_peers(name, limit)

    async def _tell_peers(self, name: str, limit: int | None) -> None:
        if not self._peers:
            return
        import httpx  # deferred: 80 ms of a host's start, and one host alone never asks

        async with httpx.AsyncClient(
            timeout=PEER_TIMEOUT_S, trust_env=False, headers={FORWARDED: "1"}
        ) as client:
            await asyncio.gather(*(_tell(client, peer, name, limit) for peer in self._peers))

    def _read(self) -> Mapping[str, int | None]:
        try:
            if self._path.stat().st_mtime_ns < self._stack_began.stat().st_mtime_ns:
                return {}  # of a stack that was stopped
            values = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            _LOGGER.warning("%s cannot be read: %s", self._path, error)
            return {}
        return values if isinstance(values, dict) else {}


async def _tell(client: httpx.AsyncClient, peer: str, name: str, limit: int | None) -> None:
    import httpx  # deferred: as where the client is made

    url = peer + PATH.format(name)
    try:
        if limit is None:
            response = await client.delete(url)
        else:
            response = await client.put(url, json={"ReservedConcurrentExecutions": limit})
    except httpx.HTTPError as error:  # it reads the file when it is back
        _LOGGER.warning("%s does not hear of a new limit of %s: %r", peer, name, error)
        return
    if response.is_error:
        msg = f"the host at {peer} refuses the new limit of {name}: {response.text[:200]}"
        raise RuntimeFailed(msg)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One host at a time; each holds it for less than a millisecond."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
