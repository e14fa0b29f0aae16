"""A handler that looks for what it must not do, and for what it must be able to."""

import os
import resource
from pathlib import Path


def handler(event, context):
    own = Path(os.environ["LAMBDA_TASK_ROOT"]) / "written"
    return {
        "writes_code": _try(lambda: own.write_text("")),
        "files_max": resource.getrlimit(resource.RLIMIT_NOFILE),
        "opens": _open_many(),
        "sees": Path(event["path"]).exists() if "path" in event else None,
        "main": getattr(__import__("__main__"), "__file__", None),
    }


def _try(action):
    try:
        action()
    except OSError as error:
        return error.strerror
    return None


def _open_many():
    opened = []
    try:
        while len(opened) < 2000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return error.strerror
    finally:
        for each in opened:
            os.close(each)
    return None
