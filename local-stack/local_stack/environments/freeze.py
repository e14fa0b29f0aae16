"""Strict mode: an environment stands still between invocations, as on AWS.

Lambda freezes an environment once its runtime has asked for the next invocation: threads that a
handler left behind stop in the middle of what they do and go on during the next invocation, if there
is one. Connections time out at the other end meanwhile, and the clock jumps. With `--freeze` that is
found here and not in production. It costs two signals an invocation.

`freeze` is called when the environment waits in `/next`, `thaw` before that is answered, or before
the environment is told to end: a stopped process does not hear TERM.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Freezer:
    """Stops and continues one environment, and what it started."""

    def __init__(self, send: Callable[[signal.Signals], None]) -> None:
        self._send = send
        self._frozen = False

    def freeze(self) -> None:
        """Nothing runs from here on. Harmless when it stands still already."""
        if not self._frozen:
            self._frozen = True
            self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on. Harmless when it runs."""
        if self._frozen:
            self._frozen = False
            self._send(signal.SIGCONT)
