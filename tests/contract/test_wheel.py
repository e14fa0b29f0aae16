"""The wheel: whoever installs it alone has everything that `local-stack up` needs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_wheel_has_every_file_of_the_runtime_and_the_template_of_nginx(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        timeout=60,
    )
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        nginx = archive.read("local_stack/services/nginx.conf.j2")

    home = REPOSITORY / "local-stack"
    ours = {
        str(path.relative_to(home))
        for path in (home / "local_stack").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == ours | {"local_stack/services/nginx.conf.j2"}
    assert nginx == (REPOSITORY / "nginx" / "nginx.conf.j2").read_bytes()
