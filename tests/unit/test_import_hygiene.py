"""What a command imports is what its user waits for: only the dashboard loads Textual, and nothing loads what it does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fabricate import Fake, build, with_vfs

HEAVY = {"textual", "rich", "psutil", "pyudev", "asyncio", "unittest", "email", "http"}
PROBE = """
import sys
sys.argv[0] = "vfdeck"
from vfdeck.app.cli import main
status = main()
sys.stdout.flush()
print(status, *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def modules(*arguments: str) -> set[str]:
    """The top-level names of everything that a command had imported by its end."""
    command = [sys.executable, "-c", PROBE, *arguments]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=60, check=False)
    status, *names = result.stderr.splitlines()[-1].split(" ")
    assert status == "0", result.stderr
    return set(names)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["tree", "--help"], ["token", "set", "--help"], ["open", "--help"]]
)
def test_help_imports_next_to_nothing(arguments: list[str]) -> None:
    assert not modules(*arguments) & (HEAVY | {"dataclasses", "json", "ctypes", "hashlib", "tomllib", "subprocess"})


@pytest.mark.parametrize("option", ["--json", "--all"])
def test_a_tree_on_disk(tmp_path: Path, option: str) -> None:
    build(tmp_path, [with_vfs(Fake("0000:01:00.0", driver="vfio-pci", totalvfs=8), 2)])
    assert not modules("tree", option, "--root", str(tmp_path)) & HEAVY


def test_the_tree_of_this_host_and_of_the_demo() -> None:
    assert not modules("tree") & {"textual", "rich"}
    assert not modules("holders", "--demo") & HEAVY
    assert not modules("tree", "--demo") & HEAVY
    assert not modules("token", "set", "0000:af:00.0", "--generate", "--dry-run", "--demo") & HEAVY
    assert not modules("open", "0000:af:00.0", "--yes", "--demo") & HEAVY
    assert not modules("tree", "--demo", "--filter", "held:yes x710") & HEAVY


def test_replay(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"op": "host", "kernel": "6.12.107", "enable_sriov": "Y", "functions": {}}\n')
    assert not modules("replay", str(trace)) & HEAVY
