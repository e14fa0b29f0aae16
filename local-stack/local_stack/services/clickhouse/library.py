"""Loads the engine out of the `chdb-core` wheel, without its Python package around it.

`import chdb` opens an engine to ask its version and imports pyarrow: 0.7 s and 50 MB more than the
extension module alone, which is all that is needed here (0.06 s, measured).
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any, Protocol, cast

from local_stack.errors import ServiceFailed
from local_stack.services.clickhouse.protocol import TIMEZONE

_EXTENSION = "_chdb.abi3.so"


class Result(Protocol):
    """What a statement, or one chunk of a streamed one, came to."""

    def bytes(self) -> bytes: ...
    def size(self) -> int: ...
    def rows_read(self) -> int: ...
    def storage_rows_read(self) -> int: ...
    def storage_bytes_read(self) -> int: ...
    def rows_written(self) -> int: ...
    def bytes_written(self) -> int: ...
    def elapsed(self) -> float: ...


class Handle(Protocol):
    """One connection of the engine. Its methods raise RuntimeError with ClickHouse's text.

    `close` must not be called while another thread is inside: it would wait with the GIL held.
    """

    def query(self, sql: bytes | str, fmt: str, *, params: dict[str, str] = ...) -> Result: ...
    def send_query(self, sql: bytes | str, fmt: str, *, params: dict[str, str] = ...) -> Any: ...
    def streaming_fetch_result(self, stream: Any) -> Result: ...
    def streaming_cancel_query(self, stream: Any) -> None: ...
    def classify_query(self, sql: bytes | str) -> dict[str, Any]: ...
    def close(self) -> None: ...


class Library(Protocol):
    """The extension module."""

    def connect(self, path: str) -> Handle: ...
    def set_signal_handlers_enabled(self, enabled: int) -> None: ...


def load_library() -> Library:
    """The engine, in this process, with UTC as its time zone. Raises `ServiceFailed`."""
    # The engine takes its time zone from the C environment, once, when it is loaded. In UTC an
    # hour of an aggregate is the same hour on every machine, as in ClickHouse's own image.
    os.putenv("TZ", TIMEZONE)
    time.tzset()
    spec = importlib.util.find_spec("chdb")
    if spec is None or not spec.submodule_search_locations:
        msg = "the ClickHouse engine is not installed (package chdb-core)"
        raise ServiceFailed(msg)
    path = str(Path(spec.submodule_search_locations[0]) / _EXTENSION)
    loader = ExtensionFileLoader("_chdb", path)
    extension = importlib.util.spec_from_file_location("_chdb", path, loader=loader)
    assert extension is not None
    flags = sys.getdlopenflags()
    # As the package does: the engine must find its own memory allocator first.
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        module = importlib.util.module_from_spec(extension)
        loader.exec_module(module)
    except ImportError as error:
        msg = f"the ClickHouse engine cannot be loaded: {error}"
        raise ServiceFailed(msg) from error
    finally:
        sys.setdlopenflags(flags)
    library = cast("Library", module)
    library.set_signal_handlers_enabled(0)
    return library
