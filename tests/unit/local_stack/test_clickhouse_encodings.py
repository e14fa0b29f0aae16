"""Compression both ways."""

from __future__ import annotations

import gzip
import zlib

import lz4.frame  # type: ignore[import-untyped]
import pytest
from backports import zstd

from local_stack.services.clickhouse.encodings import (
    CHUNK_BYTES,
    choose_encoding,
    decoded,
    encoder,
)
from local_stack.services.clickhouse.errors import ClickHouseError

COMPRESS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
    "lz4": lz4.frame.compress,
}
DATA = {"empty": b"", "short": b"a row\n", "long": b"0123456789abcdef" * 200_000}


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_frames_in_a_row_are_one_body(encoding: str, data: bytes):
    compress = COMPRESS[encoding]

    chunks = list(decoded(compress(data) + compress(b"the end"), encoding))

    assert b"".join(chunks) == data + b"the end"
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_an_answer_can_be_read_back(encoding: str, data: bytes):
    compressor = encoder(encoding)

    packed = compressor.compress(data[:3]) + compressor.compress(data[3:]) + compressor.flush()

    assert b"".join(decoded(packed, encoding)) == data


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("damage", ["cut", "rubbish", "rubbish behind"])
def test_a_damaged_body_is_an_error(encoding: str, damage: str):
    packed = COMPRESS[encoding](DATA["long"])
    body = {
        "cut": packed[:-1],
        "rubbish": b"this is not compressed at all",
        "rubbish behind": packed + b"this is not compressed at all",
    }[damage]

    with pytest.raises(ClickHouseError) as refused:
        list(decoded(body, encoding))

    assert refused.value.code == 271


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_may_grow_to_the_limit_and_no_further(encoding: str):
    packed = COMPRESS[encoding](DATA["long"])
    size = len(DATA["long"])

    assert sum(len(chunk) for chunk in decoded(packed, encoding, size)) == size
    with pytest.raises(ClickHouseError) as refused:
        list(decoded(packed, encoding, size - 1))
    assert refused.value.code == 229


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_a_plain_body_comes_in_chunks(encoding: str):
    data = b"x" * (CHUNK_BYTES + 1)

    assert [len(chunk) for chunk in decoded(data, encoding)] == [CHUNK_BYTES, 1]
    assert list(decoded(b"", encoding)) == []


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("lz4,zstd,gzip,deflate", "lz4"),
        ("deflate, gzip, br, zstd", "zstd"),
        ("gzip;q=1.0, deflate;q=0", "gzip"),
        ("GZIP", "gzip"),
        ("gzip; q=0", None),
        ("br", None),
        ("", None),
    ],
)
def test_the_cheapest_accepted_encoding_is_chosen(accepted: str, chosen: str | None):
    assert choose_encoding(accepted) == chosen
