"""A handler that leaves processes behind, in every way that there is."""

import os
import subprocess
import sys

SLEEPS = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def handler(event, context):
    plain = subprocess.Popen(SLEEPS)
    session = subprocess.Popen(SLEEPS, start_new_session=True)
    return {"pid": os.getpid(), "left": [plain.pid, session.pid, _daemon()]}


def _daemon():
    """Forked twice, in a session of its own: nobody's child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        second = os.fork()
        if second == 0:
            os.close(read)
            os.close(write)
            os.execv(SLEEPS[0], SLEEPS)
        os.write(write, str(second).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    answer = int(os.read(read, 32))
    os.close(read)
    os.close(write)
    return answer
