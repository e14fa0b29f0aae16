"""HTTP compression both ways, chunk by chunk: gzip, deflate, zstd and lz4 frames.

Pure. Decoding is bounded: a small body that grows beyond `DECODED_BYTES_MAX` is refused on the
way, so it never stands in memory. ClickHouse's own block compression (`compress=1`) is not here.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Protocol

import lz4.frame  # type: ignore[import-untyped]
from backports import zstd

from local_stack.services.clickhouse.errors import ClickHouseError, Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK_BYTES = 1024 * 1024
DECODED_BYTES_MAX = 256 * 1024 * 1024
# In our order of preference: the cheapest first. ClickHouse's zlib level is 3 as well.
_ANSWER_ENCODINGS = ("lz4", "zstd", "gzip", "deflate")
_ZLIB_LEVEL = 3
_GZIP_OR_ZLIB_WINDOW_BITS = 47
_GZIP_WINDOW_BITS = 31
_ZLIB_WINDOW_BITS = 15


class Encoder(Protocol):
    """Compresses one answer."""

    def compress(self, data: bytes) -> bytes:
        """What can be sent after `data` came in; may be empty."""
        ...

    def flush(self) -> bytes:
        """The rest."""
        ...


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _ZlibDecoder:
    """zlib's decoder in the shape of the others: it keeps what did not fit into one answer."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB_WINDOW_BITS)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


class _Lz4Decoder:
    """lz4's decoder in the shape of the others."""

    def __init__(self) -> None:
        self._decoder = lz4.frame.LZ4FrameDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data or b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return bytes(self._decoder.decompress(data, max_length))


class _Lz4Encoder:
    def __init__(self) -> None:
        self._encoder = lz4.frame.LZ4FrameCompressor()
        self._head = self._encoder.begin()

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._encoder.compress(data))

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._encoder.flush())


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gzip": _ZlibDecoder,
    "deflate": _ZlibDecoder,
    "zstd": zstd.ZstdDecompressor,
    "lz4": _Lz4Decoder,
}
_ENCODERS: dict[str, Callable[[], Encoder]] = {
    "gzip": lambda: zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, _GZIP_WINDOW_BITS),
    "deflate": lambda: zlib.compressobj(_ZLIB_LEVEL, zlib.DEFLATED, _ZLIB_WINDOW_BITS),
    "zstd": zstd.ZstdCompressor,
    "lz4": _Lz4Encoder,
}


def check_encoding(encoding: str) -> None:
    """Refuse a `Content-Encoding` that nobody here can read."""
    if encoding not in {"", "identity"} and encoding not in _DECODERS:
        known = ", ".join(_DECODERS)
        msg = f"Content-Encoding {encoding!r} is not supported; known are {known}"
        raise ClickHouseError(Code.NOT_IMPLEMENTED, msg)


def decoded(body: bytes, encoding: str, bytes_max: int = DECODED_BYTES_MAX) -> Iterator[bytes]:
    """The body in plain, in chunks of at most `CHUNK_BYTES`; never an empty one.

    A body may be several compressed frames in a row (clickhouse-connect makes one a block).
    Raises `ClickHouseError` when it is not what its encoding says, or grows over `bytes_max`.
    """
    if encoding in {"", "identity"}:
        for start in range(0, len(body), CHUNK_BYTES):
            yield body[start : start + CHUNK_BYTES]
        return
    total = 0
    for chunk in _decompressed(body, _DECODERS[encoding], encoding):
        total += len(chunk)
        if total > bytes_max:
            msg = f"The body is over {bytes_max} bytes when decompressed"
            raise ClickHouseError(Code.QUERY_IS_TOO_LARGE, msg)
        yield chunk


def _decompressed(body: bytes, new: Callable[[], _Decoder], encoding: str) -> Iterator[bytes]:
    rest = body
    while rest:
        decoder = new()
        data = rest
        while not decoder.eof:
            try:
                chunk = decoder.decompress(data, CHUNK_BYTES)
            except (zlib.error, zstd.ZstdError, RuntimeError, EOFError) as error:
                msg = f"Cannot decompress the body as {encoding}: {error}"
                raise ClickHouseError(Code.CANNOT_DECOMPRESS, msg) from error
            if not chunk and not decoder.eof:
                msg = f"Cannot decompress the body as {encoding}: it ends too early"
                raise ClickHouseError(Code.CANNOT_DECOMPRESS, msg)
            data = b""
            if chunk:
                yield chunk
        rest = decoder.unused_data


def choose_encoding(accepted: str) -> str | None:
    """What to answer in, of an `Accept-Encoding` header; None for plain."""
    offered: set[str] = set()
    for item in accepted.lower().split(","):
        name, _, weight = item.partition(";")
        if weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            offered.add(name.strip())
    return next((name for name in _ANSWER_ENCODINGS if name in offered), None)


def encoder(encoding: str) -> Encoder:
    """A new encoder of one that `choose_encoding` chose."""
    return _ENCODERS[encoding]()
