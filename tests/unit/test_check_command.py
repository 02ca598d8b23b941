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
        (("5e:00.0", "65536"), 1, "Can 0000:5e:00.0 give 65536 VFs? no"),
        (("--bind", "81:00.0"), 1, "Can 0000:81:00.0 go to vfio-pci? no"),
    ],
)
def test_an_answer(arguments: tuple[str, ...], status: int, first: str) -> None:
    result = vfdeck("check", *DEMO, *arguments)
    assert (result.returncode, result.stderr) == (status, "")
    lines = result.stdout.splitlines()
    assert lines[0] == first
    assert max(len(line) for line in lines) <= 80 or any(" " not in line.strip() for line in lines if len(line) > 80)


def test_a_no_says_what_vfdeck_can_do_about_it() -> None:
    """As keys and commands for people, with the address filled in; as ids of actions for programs."""
    text = " ".join(vfdeck("check", *DEMO, "--bind", "81:00.0").stdout.split())
    command = "vfdeck token set --demo default 0000:81:00.0 --generate --out FILE"
    assert f"-> with vfdeck: t in the dashboard (Set the PF's VF token), or {command} yes" in text
    checks = json.loads(vfdeck("check", *DEMO, "--bind", "81:00.0", "--json").stdout)["checks"]
    assert {check["entry"]: check["actions"] for check in checks if check["verdict"] == "no"}["D3"] == ["token"]
    assert all(check["actions"] == [] for check in checks if check["verdict"] != "no")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "check what?"),
        (("5e:00.0",), "how many VFs?"),
        (("5e:00.0", "4", "--bind", "5e:00.0"), "one of them"),
        (("nonsense", "4"), "no PCI address"),
        (("5e:00.0", "4", "--user", "me"), "--user goes with --open"),
        (("5e:00.0", "four"), "invalid int"),
        (("5e:00.0", "-1"), "-1 is no number of VFs"),
        (("--bind", "5e:00.0", "--driver", ""), "no driver's name"),
        (("--bind", "5e:00.0", "--driver", "../x"), "no driver's name"),
        (("--open", "5e:00.0", "--driver", "x"), "--driver goes with --bind"),
        (("--bind", "5e:00.0", "--path", "cdev"), "--path goes with --open"),
    ],
)
def test_a_question_that_is_none(arguments: tuple[str, ...], words: str) -> None:
    assert words in complaint(vfdeck("check", *DEMO, *arguments), 64)


def test_a_seed_needs_chance() -> None:
    for command in (("check", "5e:00.0", "4"), ("tree",)):
        assert complaint(vfdeck(*command, "--seed", "0"), 64) == "--seed goes with --demo"


@pytest.mark.parametrize("arguments", [("77:00.0", "4"), ("--bind", "77:00.0"), ("--open", "77:00.0")])
def test_a_function_that_is_not_there(arguments: tuple[str, ...]) -> None:
    assert complaint(vfdeck("check", *DEMO, *arguments), 66).startswith("0000:77:00.0 is no function of hv-07")


@pytest.mark.parametrize(
    ("scenario", "bdf", "said"),
    [
        ("default", "0000:81:00.0", "the host swaps to"),
        ("default", "0000:81:00.0", "mounted:"),
        ("fault:B14", "0000:01:00.0", "your own SSH connection (from 192.0.2.7) runs over enp1s0: you will be cut off (B14)"),
        ("default", "0000:03:00.1", "your own SSH connection"),
    ],
)
def test_what_the_host_cannot_do_without_decides(scenario: str, bdf: str, said: str) -> None:
    result = vfdeck("check", "--json", "--demo", scenario, "--bind", bdf)
    (used,) = [check for check in validate(result.stdout)["checks"] if check["entry"] in ("B14", "B15")]
    assert (result.returncode, used["verdict"], used["weight"]) == (1, "no", "error")
    assert any(sentence.startswith(said) for sentence in used["evidence"])


def test_an_interface_that_nobody_uses_is_a_remark() -> None:
    result = vfdeck("check", "--json", *DEMO, "--bind", "5e:00.0")
    (used,) = [check for check in validate(result.stdout)["checks"] if check["entry"] in ("B14", "B15")]
    assert (result.returncode, used["verdict"], used["weight"]) == (0, "no", "warning")


def test_a_number_that_the_file_does_not_take() -> None:
    result = vfdeck("check", *DEMO, "5e:00.0", "99999999999")
    assert "[A4]" in result.stdout
    assert "[A3]" not in result.stdout
    assert "on bus" not in result.stdout
    assert "beyond bus ff" in vfdeck("check", *DEMO, "5e:00.0", "65535").stdout


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
