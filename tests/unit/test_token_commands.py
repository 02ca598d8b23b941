"""`vfdeck token`: set, rotate, verify, status, and the offer of scan; what they ask, say, leave behind and end with."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pty
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.fabricate import Fake, build
from tests.fake_host import NIC, FakeHost
from tests.unit.test_cli import ENVIRONMENT, PYTHON
from vfdeck.app.cli import main
from vfdeck.app.commands import hosts
from vfdeck.backend.changes import Explanation, Outcome, Plan, SetToken, Step
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Problem, ProblemKind
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.token import Token

#: Of the demo: a PF that dpdk-testpmd holds, with two VFs in use; one that nobody uses; a free VF of the first.
BUSY, FREE, VF = "0000:03:00.0", "0000:af:00.0", "0000:03:02.2"


@pytest.fixture
def control(tmp_path: Path) -> str:
    """A file with the token that is in force in the demo."""
    path = tmp_path / "control"
    path.write_text(load().scenario.token("control").reveal_text())
    path.chmod(0o600)
    return str(path)


def validate(text: str, schema: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    jsonschema.validate(value, json.loads(files("vfdeck.backend").joinpath(f"schema/{schema}").read_text(encoding="utf-8")))
    return value


def refused(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    """The one line of a command that gives up at once."""
    assert main(arguments) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("vfdeck: ")
    assert told.err.count("\n") == 1
    return told.err


# -- what must be said ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "status", "what"),
    [
        (("set", FREE), 64, "which token?"),
        (("set", FREE, "--generate"), 64, "where does the token go"),
        (("rotate", FREE), 64, "where does the token go"),
        (("rotate", FREE, "--show"), 64, "--show needs a terminal"),
        (("rotate", FREE, "--out", "x", "--show"), 64, "not allowed with argument"),
        (("set", FREE, "--token-stdin", "--generate"), 64, "not allowed with argument"),
        (("set", FREE, "--token-file", "x", "--out", "y"), 64, "go with a token that is made"),
        (("set", "nonsense", "--token-file", "x"), 64, "is no PCI address"),
        (("set", "0000:77:00.0", "--generate", "--out", "x"), 66, "no function on a vfio driver of hv-07"),
        (("set", FREE, "--way", "magic", "--token-file", "x"), 64, "invalid choice"),
        (("verify", VF), 64, "which token?"),
        (("verify", "0000:77:00.0", "--token-file", "x"), 66, "no function on a vfio driver of hv-07"),
        (("status", VF), 64, "is no PF but a VF of 0000:03:00.0"),
        (("status", "0000:77:00.0"), 66, "no function on a vfio driver of hv-07"),
    ],
)
def test_what_is_missing(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, what: str) -> None:
    assert what in refused(capsys, status, "token", *arguments, "--demo")


@pytest.mark.parametrize("doing", [("token", "rotate", FREE, "--out", "x"), ("token", "verify", VF, "--token-stdin"), ("open", VF)])
def test_files_are_no_kernel(capsys: pytest.CaptureFixture[str], tmp_path: Path, doing: tuple[str, ...]) -> None:
    assert "--root is for looking only" in refused(capsys, 64, "--root", str(tmp_path), *doing)


# -- setting -------------------------------------------------------------------------------------------------------------
def test_a_token_that_is_made(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "t"
    assert main(["token", "set", FREE, "--generate", "--out", str(out), "--yes", "--demo"]) == 0
    text = capsys.readouterr().out
    token = Token.parse(out.read_text())
    assert f"#{token.fingerprint} is the token of {FREE}" in text
    assert f"must be told: whoever starts a program on one of the 4 VFs of {FREE}" in text
    assert token.reveal_text() not in text


def test_rotation_under_load(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "t"
    assert main(["token", "rotate", BUSY, "--out", str(out), "--yes", "--demo"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    old, new = load().scenario.token("control"), Token.parse(out.read_text())
    assert "go on as they are: qemu-system-x86 (4242) on 0000:03:02.0, qemu-system-x86 (4391) on 0000:03:02.1" in text
    assert "so when they start again: VM web-1, VM web-2" in text
    assert f"dpdk-testpmd (3817) was started with #{old.fingerprint} in its command line" in text
    assert f"#{new.fingerprint} is the token of {BUSY}" in text
    assert not {old.reveal_text(), new.reveal_text()} & set(text.split())


def test_one_that_is_given(capsys: pytest.CaptureFixture[str], control: str) -> None:
    assert main(["token", "set", FREE, "--token-file", control, "--yes", "--demo", "--json"]) == 0
    told = capsys.readouterr()
    value = validate(told.out, "change-v1.json")
    assert value["change"]["token"] == Token.parse(Path(control).read_text()).fingerprint
    assert (value["outcome"]["ok"], value["status"], value["delivered"], value["token_may_be_in_force"]) == (True, 0, None, True)
    assert Path(control).read_text() not in told.out + told.err


def test_showing_it_only_leaves_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["token", "set", FREE, "--generate", "--out", str(tmp_path / "t"), "--dry-run", "--demo", "--json"]
    assert main(arguments) == 0
    assert validate(capsys.readouterr().out, "change-v1.json")["outcome"] is None
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_there_to_be_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["token", "rotate", FREE, "--out", str(tmp_path / "t"), "--demo"]) == 64
    assert "no terminal to ask at; --yes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_done_now(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["token", "rotate", BUSY, "--way", "open", "--out", str(tmp_path / "t"), "--yes", "--demo"]
    assert main([*arguments, "--json"]) == 69
    assert "VFs are in use" in validate(capsys.readouterr().out, "change-v1.json")["plan"]["impossible"]
    assert main(arguments) == 69
    assert "not possible now: VFs are in use" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_set_where_it_cannot_be_handed_on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    host = _fake(monkeypatch)
    assert main(["token", "rotate", NIC, "--to-command", "false", "--yes", "--demo"]) == 69
    assert "nothing was set" in capsys.readouterr().err
    assert host.performed == []


def _fake(monkeypatch: pytest.MonkeyPatch, **outcome: Any) -> FakeHost:
    """A host whose answer to every change is this; its processes are those of the demo."""
    host = FakeHost()
    host.kernel = load().kernel  # type: ignore[attr-defined]
    host.script = lambda change: Outcome(change, target=NIC, **outcome)
    monkeypatch.setattr(hosts, "simulated", lambda *_, **__: host)
    return host


WHY = Explanation("plan", "outdated", "the PF has gone", "")


@pytest.mark.parametrize(
    ("outcome", "status", "kept"),
    [
        ({"errno": 13, "stage": Stage.OPEN_GROUP}, 77, False),
        ({"errno": 16, "stage": Stage.OPEN_GROUP}, 75, False),
        ({"errno": 13, "stage": Stage.GET_DEVICE_FD}, 77, False),  # it was compared, and was another one
        ({"errno": 11, "stage": Stage.GET_DEVICE_FD}, 75, True),  # the reset failed, after the token was set
        ({"errno": 5, "stage": Stage.GET_DEVICE_FD}, 71, True),
        ({"errno": 1, "stage": Stage.BORROW}, 77, False),
        ({"errno": 5, "stage": Stage.GET_DEVICE_FD, "done": ("set token",)}, 71, True),
        ({"attempted": False, "explanation": WHY}, 69, False),
        ({"blocked": True}, 75, True),
        ({"verified": False}, 75, False),
        ({"verified": True}, 0, True),
        ({}, 0, True),
    ],
)
def test_a_token_is_kept_unless_it_is_certainly_not_in_force(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outcome: Any, status: int, kept: bool
) -> None:
    _fake(monkeypatch, **outcome)
    arguments = ["token", "rotate", NIC, "--out", str(tmp_path / "t"), "--yes", "--demo"]
    assert main(arguments) == status
    text = capsys.readouterr().out
    assert (tmp_path / "t").exists() is kept
    assert ("was removed again" in text) is not kept
    assert ("may be in force all the same" in text) is (kept and status != 0)
    (tmp_path / "t").unlink(missing_ok=True)
    assert main([*arguments, "--json"]) == status
    value = validate(capsys.readouterr().out, "change-v1.json")
    assert (value["status"], value["token_may_be_in_force"]) == (status, kept)


# -- asking --------------------------------------------------------------------------------------------------------------
class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("plan", "typed", "done"),
    [
        ({}, "y\n", True),
        ({}, "yes\n", True),
        ({}, "\n", False),
        ({}, "", False),
        ({}, "n\n", False),
        ({"destructive": True}, "y\n", False),
        ({"destructive": True}, "Y\n", True),
        ({"severe": "cuts your own connection"}, "Y\n", False),
        ({"severe": "cuts your own connection"}, f"{NIC}\n", True),
    ],
)
def test_consent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plan: dict[str, Any], typed: str, done: bool) -> None:
    host = _fake(monkeypatch)
    host.plans[SetToken] = plan
    monkeypatch.setattr(sys, "stdin", _Terminal(typed))
    monkeypatch.setattr(sys, "stderr", said := _Terminal())
    assert main(["token", "rotate", NIC, "--out", str(tmp_path / "t"), "--demo"]) == (0 if done else 1)
    assert ("nothing was done" in said.getvalue()) is not done
    assert ("; that wants" in said.getvalue()) is (bool(plan) and not done)
    assert bool(host.performed) is done
    assert (tmp_path / "t").exists() is done


def test_a_plan_that_changed_is_shown_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = _fake(monkeypatch)
    warnings = iter([("nobody",), ("a virtual machine",), ("a virtual machine",)])
    host.planner = lambda change, _: Plan(change, "set it", (Step("do", ""),), next(warnings))
    monkeypatch.setattr(sys, "stdin", _Terminal("y\ny\n"))
    monkeypatch.setattr(sys, "stderr", _Terminal())
    assert main(["token", "rotate", NIC, "--out", str(tmp_path / "t"), "--demo"]) == 0
    text = capsys.readouterr().out
    assert text.index("nobody") < text.index("This has changed meanwhile:") < text.index("a virtual machine")


def test_it_is_shown_once_on_a_terminal() -> None:
    leader, follower = pty.openpty()
    command = [*PYTHON, "token", "rotate", FREE, "--show", "--yes", "--demo"]
    status = subprocess.run(
        command, env=ENVIRONMENT, stdin=follower, stdout=follower, stderr=follower, timeout=60, check=False
    ).returncode
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert status == 0
    (line,) = [line.strip() for line in shown.splitlines() if len(line.strip()) == 36]
    token = Token.parse(line)
    assert shown.count(line) == 1
    assert f"#{token.fingerprint} is the token of {FREE}" in shown


# -- verifying -----------------------------------------------------------------------------------------------------------
def test_right_and_wrong(capsys: pytest.CaptureFixture[str], control: str, tmp_path: Path) -> None:
    assert main(["token", "verify", VF, "--token-file", control, "--demo"]) == 0
    assert capsys.readouterr().out.startswith(f"right: #{Token.parse(Path(control).read_text()).fingerprint} for {VF}")
    other = tmp_path / "other"
    other.write_text(Token.generate().reveal_text())
    other.chmod(0o600)
    assert main(["token", "verify", VF, "--token-file", str(other), "--demo"]) == 1
    assert capsys.readouterr().out.startswith("wrong: #")
    assert main(["token", "verify", VF, "--token-file", str(other), "--demo", "--json"]) == 1
    told = capsys.readouterr().out
    assert validate(told, "change-v1.json")["verified"] is False
    assert other.read_text() not in told


@pytest.mark.parametrize(
    ("bdf", "why"),
    [
        (BUSY, "would set its token"),
        ("0000:03:02.0", "qemu-system-x86 (4242)"),
        *((bdf, f"{VF} is free and can be asked instead: all VFs of {BUSY} have the same token") for bdf in (BUSY, "0000:03:02.0")),
    ],
)
def test_what_cannot_be_told(capsys: pytest.CaptureFixture[str], control: str, bdf: str, why: str) -> None:
    assert main(["token", "verify", bdf, "--token-file", control, "--demo"]) == 69
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("could not tell: ")
    assert why in text
    assert main(["token", "verify", bdf, "--token-file", control, "--demo", "--json"]) == 69
    assert validate(capsys.readouterr().out, "change-v1.json")["verified"] is None


# -- status --------------------------------------------------------------------------------------------------------------
def test_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "status", "--demo"]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert f"{BUSY} vfio-pci unknown" in text
    assert "dpdk-testpmd (3817) was seen to hold the PF" in text
    assert "token needed by group, not by its own node: its PF 0000:03:00.0 is on vfio-pci" in text
    assert "0000:81:00.0 nvme none: not on vfio-pci" in text
    assert main(["token", "status", "0000:81:00.0", "5e:00.0", "--demo"]) == 0
    assert main(["token", "status", "--demo", "none"]) == 0


def test_status_tells_what_vfdecks_did_where_asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    silence = "  no vfdeck has written down that it did anything to this token\n"
    main(["token", "status", FREE, "--demo"])
    assert silence not in capsys.readouterr().out
    main(["token", "status", FREE, "--history", "--demo"])
    assert silence in capsys.readouterr().out
    host = hosts.simulated("default", 1)
    assert host.perform(SetToken(FREE, Token.generate())).ok
    monkeypatch.setattr(hosts, "looked_at", lambda _: (host,))
    main(["token", "status", FREE, "--history", "--demo"])
    [line] = [line for line in capsys.readouterr().out.splitlines() if "by opening the PF" in line]
    assert re.match(
        r"  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  set #[0-9a-f]{8}, by opening the PF; last shown to be in force at", line
    )


def test_the_journal_of_a_tree_is_not_consulted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(tmp_path, [Fake("0000:01:00.0", driver="vfio-pci", totalvfs=8)])
    main(["token", "status", "--history", "--root", str(tmp_path)])
    told = capsys.readouterr().out
    assert "the journal of what vfdecks did is not consulted with --root" in told
    assert "no vfdeck has written down" not in told


def test_status_tells_what_is_not_known_of_tokens_wherever_the_files_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = hosts.simulated("default", 1)
    problems = (
        Problem("/home/sys/state/tokens.jsonl", "the journal's", ProblemKind.MEMORY),
        Problem("/proc/7/fd", "a holder's", ProblemKind.HOLDERS),
        Problem("/sys/bus/pci/devices", "a function's"),
    )
    seen = dataclasses.replace(host.snapshot(), problems=problems)
    monkeypatch.setattr(hosts, "looked_at", lambda _: (host,))
    monkeypatch.setattr(host, "snapshot", lambda: seen)
    main(["token", "status", FREE, "--demo"])
    text = capsys.readouterr().out
    assert "not known: the journal's (/home/sys/state/tokens.jsonl)" in text
    assert "not known: a holder's (/proc/7/fd)" in text
    assert "a function's" not in text
    main(["token", "status", FREE, "--json", "--demo"])
    told = validate(capsys.readouterr().out, "tokens-v1.json")["problems"]
    assert [problem["kind"] for problem in told] == ["memory", "holders", "host"]


def test_status_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "status", FREE, "--json", "--demo"]) == 1
    value = validate(capsys.readouterr().out, "tokens-v1.json")
    (pf,) = value["pfs"]
    assert (pf["pf"], pf["token"]["state"], len(pf["vfs"])) == (FREE, "unknown", 4)
    assert {vf["needed_by_group"] for vf in pf["vfs"]} == {True}


def test_what_is_known_of_a_token_in_words() -> None:
    from tests import values
    from vfdeck.app.commands.token_status import history
    from vfdeck.backend.model import Suspect, TokenState

    known = dataclasses.replace(
        values.make_knowledge(NIC, TokenState.UNKNOWN, "0123abcd"),
        since=values.NOON,
        by="eva",
        earlier=True,
        confirmed=values.NOON + 60,
        begun="11112222",
        suspects=(Suspect("qemu", 7, values.NOON, "deadbeef"),),
        lost="99998888",
        lost_by="rebooted",
    )
    text = "\n".join(history(known))
    for words in (
        "set by eva at 2025-01-01 12:00:00 UTC, in an earlier run",
        "last shown to be in force at 2025-01-01 12:01:00 UTC",
        "began to set #11112222",
        "qemu (7) was seen to hold the PF at 2025-01-01 12:00:00 UTC: it may have set #deadbeef",
        "#99998888 is lost: the PF was on a host that rebooted since",
    ):
        assert words in text


def test_scan_offers_rotation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "scan", "--demo"]) == 1
    text = capsys.readouterr().out
    assert f"vfdeck token rotate --demo default {BUSY} --out FILE" in text
    assert FREE not in text


# -- what a program reads --------------------------------------------------------------------------------------------------
def test_who_must_be_told_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for more in (("--dry-run",), ("--yes",)):
        assert main(["token", "rotate", BUSY, "--out", str(tmp_path / "t"), "--demo", "--json", *more]) == 0
        value = validate(capsys.readouterr().out, "change-v1.json")
        assert value["change"]["kind"] == "rotate"
        told = {(one["bdf"], one["pid"], one["program"], one["vm"], one["certainty"]) for one in value["must_be_told"]}
        assert told == {
            (BUSY, 3817, "dpdk-testpmd", None, "inferred"),
            ("0000:03:02.0", 4242, "qemu-system-x86", "web-1", "inferred"),
            ("0000:03:02.1", 4391, "qemu-system-x86", "web-2", "inferred"),
        }
        assert value["unseen"] == 0
    assert main(["token", "set", FREE, "--generate", "--out", str(tmp_path / "u"), "--demo", "--json", "--yes"]) == 0
    value = validate(capsys.readouterr().out, "change-v1.json")
    assert (value["change"]["kind"], value["must_be_told"]) == ("set token", [])


def test_a_token_that_was_not_made_has_no_fingerprint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["token", "rotate", BUSY, "--out", str(tmp_path / "t"), "--demo"]
    assert main([*arguments, "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert f"{BUSY}: set the new token\n" in text
    assert "whether the new token is the right one" in text
    assert "token #" not in text
    assert main([*arguments, "--dry-run", "--json"]) == 0
    told = capsys.readouterr()
    assert validate(told.out, "change-v1.json")["change"]["token"] is None
    assert "token #" not in told.out + told.err


def test_a_token_that_is_given_has_one_before_it_is_set(capsys: pytest.CaptureFixture[str], control: str) -> None:
    assert main(["token", "set", FREE, "--token-file", control, "--dry-run", "--demo"]) == 0
    assert f"set token #{Token.parse(Path(control).read_text()).fingerprint}" in capsys.readouterr().out


def test_a_wrong_token_is_explained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(Token.generate().reveal_text())
    other.chmod(0o600)
    arguments = ["token", "verify", VF, "--token-file", str(other), "--demo"]
    assert main(arguments) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "D2: Incorrect VF token" in text
    assert "rule The token given must be the PF's present one." in text
    assert f"check vfdeck token status --demo default {BUSY}" in text
    assert "do Get the present token from whoever set it." in text
    assert main([*arguments, "--json"]) == 1
    why = validate(capsys.readouterr().out, "change-v1.json")["outcome"]["explanation"]
    assert (why["entry"], bool(why["rule"]), bool(why["check"]), bool(why["do"])) == ("D2", True, True, True)


def test_status_tells_what_to_do_about_a_token_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    main(["token", "status", FREE, "--demo"])
    told = capsys.readouterr().out
    assert "vfdeck token verify --demo default 0000:af:00.1 --token-file FILE" in told
    assert f"vfdeck token rotate --demo default {FREE} --out FILE" in told
    main(["token", "status", "0000:81:00.0", "--demo"])
    assert "vfdeck" not in capsys.readouterr().out
