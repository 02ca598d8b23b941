"""Commands that look, on a scenario of several hosts: each host under its name, or one to be named where an address is given."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest

from vfdeck.app.cli import main
from vfdeck.app.failure import SOFTWARE
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
        ("holders", "0000:03:00.0"),
        ("holders", "--watch"),
        ("token", "status", "0000:03:00.0"),
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
