"""The program that is sent to hosts: it runs on the oldest Python there may be, with nothing but what was sent."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fabricate import Fake, build, with_vfs
from vfdeck.backend.agent import push
from vfdeck.backend.catalogue import entries
from vfdeck.backend.changes import SetNumvfs
from vfdeck.backend.checks import CanEnable
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.report import to_json

MARKER = "m4rk3r"

#: Prints what the backend knows of the tree that is its argument, then answers to a plan, a check and a table of data.
PROBE = """
import json, sys
def main():
    from vfdeck.backend.linux.kernel import LinuxKernel
    from vfdeck.backend.local_host import LocalHost
    from vfdeck.backend.report import to_json
    from vfdeck.backend.catalogue import entries
    from vfdeck.backend.changes import SetNumvfs
    from vfdeck.backend.checks import CanEnable
    host = LocalHost(LinuxKernel(sys.argv[1]))
    snapshot = host.snapshot()
    plan = repr(host.plan(SetNumvfs("0000:03:00.0", 0), snapshot))
    checked = repr(host.check(CanEnable("0000:03:00.0", 2), snapshot))
    print(json.dumps([json.loads(to_json(snapshot)), plan, checked, len(entries())]))
"""


def old_python(version: str) -> str | None:
    """An interpreter of that version: one that a developer's pyenv has, else by PATH."""
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
        found = sorted(Path(root, "versions").glob(f"{version}.*/bin/python{version}"))
        if found:
            return str(found[-1])
    return shutil.which(f"python{version}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    pf = Fake("0000:03:00.0", driver="vfio-pci", group=10, totalvfs=8)
    build(tmp_path, [with_vfs(pf, 4, driver="vfio-pci", group=11)])
    return tmp_path


def lasting(report: Any) -> Any:
    """A report without what is of the moment."""
    report.pop("taken")
    return report


@pytest.mark.parametrize("version", ["3.9", "3.10"])
def test_an_old_python_alone_sees_what_this_one_sees(version: str, tree: Path) -> None:
    python = old_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    packed = push.pack("probe:main", (str(tree),), (("probe.py", PROBE),))
    done = subprocess.run(push.boot(python, packed, MARKER), input=packed.data, capture_output=True, check=False, cwd="/")
    assert done.stderr == b""
    marker, answer = done.stdout.decode().split("\n", 1)
    assert marker == MARKER
    report, planned, checked, known = json.loads(answer)
    host = LocalHost(LinuxKernel(str(tree)))
    snapshot = host.snapshot()
    assert lasting(report) == lasting(json.loads(to_json(snapshot)))
    assert len(snapshot.functions) == 5
    assert planned == repr(host.plan(SetNumvfs("0000:03:00.0", 0), snapshot))
    assert checked == repr(host.check(CanEnable("0000:03:00.0", 2), snapshot))
    assert known == len(entries())


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "csh", "tcsh", "fish", "zsh"])
def test_every_login_shell_hands_it_on(shell: str) -> None:
    if not (path := shutil.which(shell)):
        pytest.skip(f"no {shell} here")
    packed = push.pack("probe:main", (), (("probe.py", "def main():\n    print('it runs')\n"),))
    done = subprocess.run([path, "-c", push.command(packed, MARKER)], input=packed.data, capture_output=True, check=False)
    assert done.stdout.decode() == f"{MARKER}\nit runs\n"
    assert done.returncode == 0


def test_the_same_bytes_every_time_and_no_pythons_of_users() -> None:
    packed = push.pack("probe:main")
    push._sources.cache_clear()
    push._pack.cache_clear()
    assert push.pack("probe:main") == packed
    assert all(path.startswith("/usr/") for path in push.PYTHONS)


@pytest.mark.parametrize("damage", [lambda data: b"?" + data[1:], lambda data: data[:-1]])
def test_what_is_not_what_was_sent_is_not_run(damage: Any) -> None:
    packed = push.pack("probe:main", (), (("probe.py", "def main():\n    print('it runs')\n"),))
    done = subprocess.run(["sh", "-c", push.command(packed, MARKER)], input=damage(packed.data), capture_output=True, check=False)
    assert done.stdout.decode() == f"{MARKER}\n"
    assert done.returncode == 76


def test_without_a_python_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "PYTHONS", ("/nowhere/python3", "/bin/false"))
    done = subprocess.run(["sh", "-c", push.command(push.pack("probe:main"), MARKER)], capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode()) == (127, f"{MARKER} {push.NO_PYTHON}\n")


def test_only_what_is_needed_is_sent() -> None:
    sent = push._sources()
    assert "vfdeck/backend/sim/machine.py" not in sent
    assert "vfdeck/backend/sim/drivers.json" in sent
    assert not [path for path in sent if path.startswith(("vfdeck/app", "vfdeck/widgets"))]


def test_many_hosts_at_once_are_sent_what_was_packed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    compress = zlib.compress

    def noted(data: bytes, level: int) -> bytes:
        made.append(threading.current_thread().name)
        return compress(data, level)

    monkeypatch.setattr(zlib, "compress", noted)
    arguments = (f"unlike any other {uuid.uuid4()}",)
    with ThreadPoolExecutor(8) as pool:
        packed = list(pool.map(lambda _: push.pack("a:b", arguments), range(8)))
    assert len(made) == 1
    assert len({one.digest for one in packed}) == 1
