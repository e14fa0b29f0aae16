"""The frames that awslambdaric writes its log records in, and their text.

A managed runtime hands records to Lambda with their length, so that one of several lines stays one:
type (4 bytes, `A5 5A 00` and the level), length (4) and time (8), big-endian, then the message;
`FramedTelemetryLogSink` of awslambdaric. Here the frames come through the same pipe as whatever a
handler prints, in the order in which it was written. The kernel keeps writes of up to 4 KB whole; a
longer record may have the output of another thread in it, and both still arrive.
"""

from __future__ import annotations

FRAME_MARK = b"\xa5\x5a\x00"
_HEADER_BYTES = 16
_MARK_BEGINS = (FRAME_MARK[:1], FRAME_MARK[:2])


class Frames:
    """Takes the frames out of a stream; what stands between them passes through."""

    def __init__(self) -> None:
        self._left = 0  # bytes of a record that are still to come
        self.cut = b""  # a header of which only the beginning has come, if it is one

    def concern(self, data: bytes) -> bool:
        """Whether `data` has to go through `text_of`: most has not."""
        if self._left or self.cut:
            return True
        return FRAME_MARK in data or data.endswith(_MARK_BEGINS)

    def rest(self) -> bytes:
        """What was kept as the beginning of a header, and is none: nothing came after it."""
        rest, self.cut = self.cut, b""
        return rest

    def text_of(self, data: bytes) -> bytes:
        """The text of what has come; each record ends with a newline."""
        data, self.cut = self.cut + data, b""
        parts: list[bytes] = []
        at = 0
        while at < len(data):
            if self._left:
                record = data[at : at + self._left]
                at += len(record)
                self._left -= len(record)
                ended = not self._left and not record.endswith(b"\n")
                parts.append(record + b"\n" if ended else record)
                continue
            mark = data.find(FRAME_MARK, at)
            if mark < 0:
                mark = len(data) - _begun(data[at:])
            parts.append(data[at:mark])
            if mark + _HEADER_BYTES > len(data):
                self.cut = data[mark:]
                break
            self._left = int.from_bytes(data[mark + 4 : mark + 8], "big")
            at = mark + _HEADER_BYTES
        return b"".join(parts)


def _begun(data: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of a mark."""
    return next((len(begin) for begin in _MARK_BEGINS if data.endswith(begin)), 0)
