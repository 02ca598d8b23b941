"""An ordinary user on a host whose /proc hides other people's processes: what is said of holders is a lower bound."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.contract.bed import IGB, U1, RealBed, open_device
from vfdeck.backend.vfio import Program

#: Runs the command twice: as root, so that all is imported (an ordinary user may not read root's Python), and as whom it is for.
TWICE = """import contextlib, io, os, sys
from vfdeck.app.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    main(sys.argv[2:])
if sys.argv[1] == "ordinary":
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(main(sys.argv[2:]))"""


def holders(option: str, who: str) -> tuple[int, dict[str, object]]:
    """Status and report of `vfdeck holders` in a mount namespace whose /proc is mounted with `option`."""
    mounted = ["unshare", "--mount", "sh", "-c", f'mount -t proc -o {option} proc /proc && exec "$@"', "sh"]
    command = [*mounted, sys.executable, "-c", TWICE, who, "holders", IGB, "--json"]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert told.stdout, told.stderr
    return told.returncode, json.loads(told.stdout)


@pytest.fixture(scope="module")
def held() -> Iterator[set[str]]:
    """A PF and one of its VFs, open in a program of root's."""
    bed = RealBed()
    bed.reset()
    vf, _ = bed.vfio_pf()
    program = Program(bed.elsewhere("holder"))
    for bdf in (IGB, vf):
        open_device(program, bdf, U1)
    yield {IGB, vf}
    bed.reset()


@pytest.mark.usefixtures("held")
def test_who_sees_a_part_says_at_least() -> None:
    """hidepid=2: other people's processes are not even listed, and process 1 is missing. Nobody is found, which proves nothing."""
    status, told = holders("hidepid=2", "ordinary")
    assert (status, told["certainty"], told["holders"]) == (77, "at least", [])
    assert told["unseen"] == 1  # nobody can count those that are not listed
    assert told["users"] == [{"pf": IGB, "value": 0, "certainty": "at least"}]


@pytest.mark.usefixtures("held")
def test_who_may_not_look_says_at_least() -> None:
    """hidepid=0: they are listed, and counted, and may not be looked at."""
    status, told = holders("hidepid=0", "ordinary")
    assert (status, told["certainty"], told["holders"]) == (77, "at least", [])
    assert isinstance(told["unseen"], int)
    assert told["unseen"] > 1


def test_root_sees_everybody(held: set[str]) -> None:
    status, told = holders("hidepid=2", "root")
    assert (status, told["unseen"]) == (0, 0)
    found = told["holders"]
    assert isinstance(found, list)
    assert {entry["bdf"] for entry in found if entry["program"] == "holder"} == held
