"""Unpacks code that a template names as a zip file, or holds as text, into folders named by content.

Several processes of a stack read the template at once: each unpacks next to the place and renames,
so a folder is whole or not there. Never touched again once it is there.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

UNPACKED_BYTES_MAX = 262_144_000  # 250 MB: Lambda's quota of a function with its layers, unzipped
ENTRIES_MAX = 100_000
_COPY_BYTES = 1024 * 1024


class BadArchive(Exception):
    """The archive is no zip file, or holds what must not be unpacked; the text says which."""


def unpacked(archive: Path, cache: Path) -> Path:
    """The folder with what is in the zip file `archive`. Raises `BadArchive` or `OSError`."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _placed(cache / digest[:32], lambda folder: _unpack(archive, folder))


def written(code: str, file_name: str, cache: Path) -> Path:
    """The folder with one file, which holds `code`."""
    digest = hashlib.sha256(f"{file_name}\0{code}".encode()).hexdigest()

    def write(folder: Path) -> None:
        (folder / file_name).write_text(code, encoding="utf-8")

    return _placed(cache / digest[:32], write)


def _placed(place: Path, fill: Callable[[Path], None]) -> Path:
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=place.parent))
    try:
        fill(folder)
        folder.chmod(0o755)
        folder.rename(place)
    except OSError:
        if not place.is_dir():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return place


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            entries = file.infolist()
            if len(entries) > ENTRIES_MAX:
                msg = f"it has more than {ENTRIES_MAX} entries"
                raise BadArchive(msg)
            left = UNPACKED_BYTES_MAX
            for entry in entries:
                left -= _unpack_entry(file, entry, folder, left)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        msg = f"it cannot be unpacked: {error}"  # RuntimeError: an encrypted entry
        raise BadArchive(msg) from error


def _unpack_entry(file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, left: int) -> int:
    """Write one entry of at most `left` bytes; returns its size, counted and not believed."""
    name = PurePosixPath(entry.filename)
    mode = entry.external_attr >> 16
    if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or stat.S_ISLNK(mode):
        msg = f"entry {entry.filename!r} is a link, or leads out of the archive"
        raise BadArchive(msg)
    target = folder.joinpath(*name.parts)
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with file.open(entry) as source, target.open("wb") as copy:
        while chunk := source.read(_COPY_BYTES):
            size += len(chunk)
            if size > left:
                msg = f"it holds more than {UNPACKED_BYTES_MAX} bytes"
                raise BadArchive(msg)
            copy.write(chunk)
    target.chmod(0o755 if mode & 0o111 else 0o644)
    return size
