"""The built wheel holds what the folders hold: no module, no data file and no marker is forgotten, and nothing else is in it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    place = tmp_path_factory.mktemp("wheel")
    build = f"import uv_build; print(uv_build.build_wheel({str(place)!r}))"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # uv_build looks for its other half there
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, env={**os.environ, "PATH": path}, check=True, timeout=120)
    (built,) = place.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_the_folders(wheel: zipfile.ZipFile) -> None:
    folder = ROOT / "vfdeck"
    here = {path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name and not name.endswith("/")}
    assert packed == here
    assert {Path(name).parts[1] for name in packed if name.count("/") > 1} == {"app", "widgets", "backend"}
    assert "vfdeck/py.typed" in packed
    assert {".py", ".json", ".toml"} <= {Path(name).suffix for name in packed}


def test_the_wheel_says_what_it_needs_and_how_it_starts(wheel: zipfile.ZipFile) -> None:
    (entry,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "vfdeck = vfdeck.app.cli:main" in wheel.read(entry).decode()
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    needs = {
        line.split()[1].split(">")[0] for line in wheel.read(metadata).decode().splitlines() if line.startswith("Requires-Dist:")
    }
    assert needs == {"textual", "rich", "pyudev", "psutil"}
