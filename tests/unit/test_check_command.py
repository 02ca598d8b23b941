"""`vfdeck check` and `vfdeck doctor` as a shell sees them."""

from __future__ import annotations

import json

import pytest

from tests.unit.test_checks import validate
from tests.unit.test_cli import complaint, vfdeck

DEMO = ("--demo", "default")


@pytest.mark.parametrize(
    ("arguments", "status", "first"),
    [
        (("5e:00.0", "4"), 0, "Can 0000:5e:00.0 give 4 VFs? yes"),
        (("0000:5E:00.0", "17"), 1, "Can 0000:5e:00.0 give 17 VFs? no"),
        (("--bind", "5e:00.0"), 0, "Can 0000:5e:00.0 go to vfio-pci? yes"),
        (("--bind", "5e:00.0", "--driver", "absent"), 1, "Can 0000:5e:00.0 go to absent? no"),
        (("--open", "03:02.2"), 2, "Can 0000:03:02.2 be opened through its group? could not check"),
        (("--open", "03:02.2", "--user", "dpdk"), 1, "Can 0000:03:02.2 be opened through its group by dpdk? no"),
        (("--open", "03:02.2", "--path", "cdev"), 0, "Can 0000:03:02.2 be opened through its own node? yes"),
        (("77:00.0", "4"), 1, "Can 0000:77:00.0 give 4 VFs? no"),
    ],
)
def test_an_answer(arguments: tuple[str, ...], status: int, first: str) -> None:
    result = vfdeck("check", *DEMO, *arguments)
    assert (result.returncode, result.stderr) == (status, "")
    lines = result.stdout.splitlines()
    assert lines[0] == first
    assert max(len(line) for line in lines) <= 80 or any(" " not in line.strip() for line in lines if len(line) > 80)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "check what?"),
        (("5e:00.0",), "how many VFs?"),
        (("5e:00.0", "4", "--bind", "5e:00.0"), "one of them"),
        (("nonsense", "4"), "no PCI address"),
        (("5e:00.0", "4", "--user", "me"), "--user goes with --open"),
        (("5e:00.0", "four"), "invalid int"),
    ],
)
def test_a_question_that_is_none(arguments: tuple[str, ...], words: str) -> None:
    assert words in complaint(vfdeck("check", *DEMO, *arguments), 64)


def test_doctor() -> None:
    result = vfdeck("doctor", *DEMO)
    assert (result.returncode, result.stderr) == (2, "")
    assert result.stdout.splitlines()[0].startswith("hv-07  Linux 6.12.107  1 error, 1 warning, ")
    assert "[D17]" in result.stdout


def test_json() -> None:
    value = validate(vfdeck("doctor", *DEMO, "--json").stdout)
    assert (value["severity"], value["host"]["badge"]) == ("error", "cdev asks no token")
    value = validate(vfdeck("check", *DEMO, "--json", "5e:00.0", "4").stdout)
    assert (value["verdict"], value["question"]) == ("yes", "Can 0000:5e:00.0 give 4 VFs?")


def test_no_token_is_in_it() -> None:
    from vfdeck.backend.sim import scenario

    host = scenario.load()
    secret = host.scenario.token("control").reveal_text()
    printed = vfdeck("doctor", *DEMO, "--json").stdout + vfdeck("check", *DEMO, "--open", "03:02.2").stdout
    assert secret not in printed
    assert json.loads(vfdeck("doctor", *DEMO, "--json").stdout)["checks"]


def test_this_host() -> None:
    result = vfdeck("doctor", "--json")
    assert result.returncode in (0, 1, 2)
    assert validate(result.stdout)["host"]["simulated"] is False
