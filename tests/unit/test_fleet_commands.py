"""Commands that look, on a scenario of several hosts: each host under its name, or one to be named where an address is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files

import jsonschema
import pytest

from vfdeck.app.cli import main
from vfdeck.app.commands import following
from vfdeck.app.failure import SOFTWARE
from vfdeck.backend.host import Host
from vfdeck.backend.model import Snapshot
from vfdeck.backend.sim import scenario

FLEET = "datacentre"
COMMANDS = [
    (("tree",), "tree-v1.json"),
    (("holders",), "holders-v1.json"),
    (("doctor",), "checks-v1.json"),
    (("token", "status"), "tokens-v1.json"),
    (("token", "scan"), "leaks-v1.json"),
]


@pytest.fixture(scope="module")
def members() -> list[str]:
    hosts = scenario.load_all(FLEET)
    for host in hosts:
        host.close()
    return [host.name for host in hosts]


def name_of(value: dict[str, object]) -> object:
    host = value["host"]
    return host["name"] if isinstance(host, dict) else host


@pytest.mark.parametrize(("command", "schema"), COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_every_host_is_told_as_when_alone(
    command: tuple[str, ...], schema: str, members: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = members[0], members[5]
    alone, text = {}, {}
    for member in (one, other):
        main([*command, "--json", "--demo", f"{FLEET}/{member}"])
        alone[member] = json.loads(capsys.readouterr().out)
        main([*command, "--demo", f"{FLEET}/{member}"])
        text[member] = capsys.readouterr().out
    status = main([*command, "--json", "--demo", FLEET])
    values = json.loads(capsys.readouterr().out)
    assert [name_of(value) for value in values] == members
    assert (values[0], values[5]) == (alone[one], alone[other])
    rules = json.loads(files("vfdeck.backend").joinpath(f"schema/{schema}").read_text(encoding="utf-8"))
    jsonschema.validate(values, rules)
    for value in values:
        jsonschema.validate(value, rules)
    wrongs: list[object] = [[values], [{}], {}]
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, rules)
    assert main([*command, "--demo", FLEET]) == status
    told = capsys.readouterr().out
    blocks = told.split("\n\n")
    assert len(blocks) == len(members)
    for member, block in zip(members, blocks, strict=True):
        assert block.split()[0].rstrip(":") == member
        assert member not in text or block.endswith(text[member].rstrip("\n")) or member == members[-1]


def test_the_worst_counts(capsys: pytest.CaptureFixture[str], members: list[str]) -> None:
    for command, worst in ((("doctor",), max), (("holders",), min), (("token", "status"), max)):
        each = [main([*command, "--demo", f"{FLEET}/{member}"]) for member in members]
        assert main([*command, "--demo", FLEET]) == worst(each)
    capsys.readouterr()


@pytest.mark.parametrize(
    "command",
    [
        ("token", "rotate", "0000:03:00.0", "--out", "x"),
        ("check", "--open", "0000:03:00.0"),
        ("vfs", "0000:03:00.0", "4"),
    ],
)
def test_one_host_must_be_named(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--demo", FLEET]) == 64
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"vfdeck: {FLEET} has 12 hosts; expected one of {FLEET}/")
    assert told.err.count("\n") == 1


SHARED, LONE = "0000:17:00.0", "0000:01:00.1"  # a PF of three hosts, one of a single host


@pytest.mark.parametrize(
    ("command", "schema"), [(("holders",), "holders-v1.json"), (("token", "status"), "tokens-v1.json")], ids=["holders", "status"]
)
def test_an_address_is_looked_for_on_every_host(command: tuple[str, ...], schema: str, capsys: pytest.CaptureFixture[str]) -> None:
    rules = json.loads(files("vfdeck.backend").joinpath(f"schema/{schema}").read_text(encoding="utf-8"))
    for asked, expected in ((SHARED, ["net-01", "net-02", "net-03"]), (LONE, ["spare-01"])):
        status = main([*command, asked, "--demo", FLEET])
        blocks = capsys.readouterr().out.split("\n\n")
        assert [block.splitlines()[0] for block in blocks] == [f"{name}:" for name in expected]
        assert all(asked in block for block in blocks)
        assert main([*command, asked, "--json", "--demo", FLEET]) == status
        values = json.loads(capsys.readouterr().out)
        jsonschema.validate(values, rules)
        assert [name_of(value) for value in values] == expected
    assert main([*command, "0000:ff:00.0", "--demo", FLEET]) == 66
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert "of any of the 12 hosts" in told.err


def test_each_pf_asked_for_must_be_one_somewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "status", SHARED, LONE, LONE, "--demo", FLEET]) in (0, 1)
    assert capsys.readouterr().out.count(LONE) == 1
    assert main(["token", "status", SHARED, "0000:ff:00.0", "--demo", FLEET]) == 66
    assert main(["token", "status", SHARED, "0000:17:01.0", "--demo", FLEET]) == 64
    told = capsys.readouterr()
    assert (told.out, "0000:17:01.0 is no PF but a VF" in told.err) == ("", True)


@pytest.mark.parametrize("asked", [[], ["0000:17:01.0"]])
def test_holders_are_watched_on_every_host(
    asked: list[str], members: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The looks are those of a first second each; then somebody interrupts."""

    def followed(watched: list[Host]) -> Iterator[Snapshot]:
        yield from (host.snapshot() for host in watched)
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "followed", followed)
    assert main(["holders", *asked, "--watch", "--demo", FLEET]) == 130
    lines = capsys.readouterr().out.splitlines()
    waiting = [line.split()[1] for line in lines if "waiting for changes" in line]
    assert waiting == [f"{name}:" for name in (["net-01", "net-02", "net-03"] if asked else members)]
    held = [line for line in lines if " = " in line]
    assert {line.split()[1] for line in held} <= set(waiting)
    assert held
    assert main(["holders", "0000:ff:00.0", "--watch", "--demo", FLEET]) == 66
    assert "of any of the 12 hosts" in capsys.readouterr().err


def test_a_filter_leaves_hosts_out_that_have_nothing(capsys: pytest.CaptureFixture[str], members: list[str]) -> None:
    main(["tree", "--filter", "driver:nvme", "--json", "--demo", FLEET])
    found = [name_of(value) for value in json.loads(capsys.readouterr().out)]
    assert 0 < len(found) < len(members)
    main(["tree", "--filter", "driver:nvme", "--demo", FLEET])
    assert [block.split()[0] for block in capsys.readouterr().out.split("\n\n")] == found
    assert main(["tree", "--filter", "driver:magic", "--json", "--demo", FLEET]) == 0
    told = capsys.readouterr()
    assert (json.loads(told.out), told.err) == ([], "vfdeck: nothing matches driver:magic\n")


class _Stop(Exception):
    """The test has seen enough."""


@pytest.mark.parametrize("command", ["tree", "holders", "doctor"])
@pytest.mark.parametrize("json_too", [False, True])
def test_a_host_is_told_before_the_next_is_looked_at(
    command: str, json_too: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = scenario.load_all(FLEET)[:2]

    def stop() -> Snapshot:
        raise _Stop

    monkeypatch.setattr(second, "snapshot", stop)
    monkeypatch.setattr(scenario, "load_all", lambda *_, **__: (first, second))
    assert main([command, *(["--json"] if json_too else []), "--demo", FLEET]) == SOFTWARE
    told = capsys.readouterr().out
    assert first.name in told
    assert second.name not in told
