"""The frames in which awslambdaric writes its records, written by awslambdaric itself."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from awslambdaric.bootstrap import (  # type: ignore[import-untyped]
    FramedTelemetryLogSink,
    log_error,
)
from awslambdaric.lambda_runtime_log_utils import (  # type: ignore[import-untyped]
    _TEXT_FRAME_TYPES,
)
from hypothesis import given
from hypothesis import strategies as st

from local_stack.telemetry.frames import FRAME_MARK, Frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _written(write: Callable[[FramedTelemetryLogSink], None]) -> bytes:
    """What `write` makes a real sink write."""
    read, end = os.pipe()
    with FramedTelemetryLogSink(end) as sink:
        write(sink)
    with os.fdopen(read, "rb") as file:
        return file.read()


def test_a_record_comes_out_as_its_text() -> None:
    data = _written(lambda sink: sink.log("[INFO]\tcaf\xe9\n", _TEXT_FRAME_TYPES[logging.INFO]))

    assert data.startswith(FRAME_MARK)
    assert Frames().text_of(data) == b"[INFO]\tcaf\xc3\xa9\n"


def test_an_error_is_one_record_with_hard_spaces() -> None:
    error = {
        "errorType": "X",
        "errorMessage": "y",
        "stackTrace": ['  File "a.py", line 1\n    z()\n'],
    }
    data = _written(lambda sink: log_error(error, sink))

    assert Frames().text_of(data).decode() == (
        "[ERROR] X: y\nTraceback (most recent call last):\n"
        '\xa0\xa0File "a.py", line 1\n\xa0\xa0\xa0\xa0z()\n'
    )


def test_without_frames_everything_passes_through() -> None:
    frames = Frames()

    assert frames.text_of(b"\xa5\x5a plain \x00") == b"\xa5\x5a plain \x00"
    assert not frames.concern(b"more")


def test_what_only_looks_like_the_beginning_of_a_frame_comes_out_in_the_end() -> None:
    frames = Frames()
    assert frames.concern(b"binary \xa5\x5a")

    assert frames.text_of(b"binary \xa5\x5a") == b"binary "
    assert frames.rest() == b"\xa5\x5a"
    assert frames.text_of(b"plain") == b"plain"


PRINTED = st.binary(max_size=50).filter(lambda data: not set(data) & set(FRAME_MARK))


@given(st.lists(st.tuples(PRINTED, st.text(max_size=50))), st.lists(st.integers(1, 40)))
def test_however_the_stream_is_cut_the_text_is_the_same(
    written: Sequence[tuple[bytes, str]], cuts: Sequence[int]
) -> None:
    stream = b""
    expected = b""
    for printed, record in written:
        stream += printed + _written(lambda sink, record=record: sink.log(record))  # type: ignore[misc]
        text = record.encode("utf8")
        expected += printed + (text if text.endswith(b"\n") or not text else text + b"\n")
    frames, said, at = Frames(), b"", 0
    for size in [*cuts, len(stream)]:
        data, at = stream[at : at + size], at + size
        # As the log's reader does it: only what may hold frames is looked at.
        said += frames.text_of(data) if frames.concern(data) else data

    assert said + frames.rest() == expected
