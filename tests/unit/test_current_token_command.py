"""`vfdeck token rotate --current-token-...`: VFs are in use, and no program has the PF open."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tests.contract.bed import IGB, U1, try_open
from tests.sim.test_current_token import OLD, OTHER, Left
from vfdeck.app import failure
from vfdeck.app.cli import main
from vfdeck.app.commands import hosts
from vfdeck.backend.token import Token


def secret(folder: Path, name: str, token: Token) -> str:
    path = folder / name
    path.write_text(token.reveal_text())
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Left:
    made = Left()
    monkeypatch.setattr(hosts, "simulated", lambda *_, **__: made.host)
    return made


def test_the_token_in_force_opens_the_way(left: Left, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new"
    line = ["token", "rotate", IGB, "--demo", "--yes", "--out", str(out)]
    assert main(line) == failure.UNAVAILABLE
    assert not out.exists()
    assert main([*line, "--current-token-file", secret(tmp_path, "old", OLD)]) == 0
    assert "confirmed: the kernel was asked" in capsys.readouterr().out
    assert left.in_force(OLD) is False
    assert try_open(left.bed.program("user"), left.free, UUID(out.read_text().strip())) == "OK"


def test_another_token_opens_nothing(left: Left, tmp_path: Path) -> None:
    out = tmp_path / "new"
    line = ["token", "rotate", IGB, "--demo", "--yes", "--out", str(out), "--current-token-file", secret(tmp_path, "no", OTHER)]
    assert main(line) == failure.NO_PERMISSION
    assert not out.exists()
    assert try_open(left.bed.program("user"), left.free, U1) == "OK"


def test_one_standard_input_holds_one_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "set", IGB, "--demo", "--token-stdin", "--current-token-stdin"]) == failure.USAGE
    assert "only one of them" in capsys.readouterr().err
