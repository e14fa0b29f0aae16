"""A handler that works in /tmp."""

import os
import tempfile
import time
from pathlib import Path


def handler(event, context):
    name = Path("/tmp") / event.get("name", "kept")
    answer = {"pid": os.getpid(), "found": name.read_text() if name.exists() else None}
    answer["folder"] = tempfile.gettempdir()
    if "write" in event:
        name.write_text(event["write"])
    if "mb" in event:
        answer["error"] = _fill(event["mb"])
    if "meets" in event:
        _meet(Path(event["meets"]), event["write"])
    if event.get("hang"):
        time.sleep(30)
    if event.get("exit"):
        os._exit(7)
    return answer


def _meet(folder, name):
    """Go on when somebody else is here, too."""
    (folder / name).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)


def _fill(mb):
    large = Path("/tmp/large")
    try:
        with large.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, mb << 20)
    except OSError as error:
        return error.strerror
    finally:
        large.unlink()
    return None
