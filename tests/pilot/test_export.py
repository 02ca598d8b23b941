"""Writing to files from the running dashboard."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.fake_host import NIC, FakeHost, done
from tests.pilot.driving import Deck, running
from tests.pilot.test_shell import changed
from vfdeck.app.dashboard import exporting
from vfdeck.app.dashboard.dialogs.export import ExportDialog
from vfdeck.backend.sim import scenario


async def write(deck: Deck, path: Path) -> None:
    """Type a path into the dialog, and let it be written."""
    dialog = deck.app.screen
    assert isinstance(dialog, ExportDialog)
    field = dialog.query_one(Input)
    field.value = str(path)
    field.focus()
    await deck.pilot.pause()
    await deck.press("enter")
    await deck.until(lambda: not dialog.is_writing)


async def test_a_vf_its_pf_and_marks_are_written(tmp_path: Path) -> None:
    async with running(size=(120, 40)) as deck:
        await deck.press("x")
        assert "the selected: 1 function" in deck.text
        assert "nothing is marked" in deck.text
        await write(deck, tmp_path / "pf.json")
        assert deck.dialog == ""
        assert f"written to {tmp_path}/pf.json" in deck.line
        assert [f["bdf"] for f in json.loads((tmp_path / "pf.json").read_text())["functions"]] == [NIC]
        await deck.press("m", "down", "x", "down")
        await write(deck, tmp_path / "marked.jsonl")
        assert json.loads((tmp_path / "marked.jsonl").read_text())["bdf"] == NIC


async def test_what_was_done_is_a_script(tmp_path: Path) -> None:
    host = FakeHost()
    host.script = done
    async with running(host, size=(120, 40)) as deck:
        await changed(deck)
        await deck.press("x", "up")
        assert deck.app.screen.query_one(Input).value == "vfdeck-changes.sh"
        await write(deck, tmp_path / "x.sh")
        assert subprocess.run(["sh", "-n", str(tmp_path / "x.sh")]).returncode == 0
        assert f"echo x > /sys/bus/pci/devices/{NIC}/x" in (tmp_path / "x.sh").read_text().splitlines()


@pytest.mark.parametrize("size", [(40, 12), (80, 24)])
async def test_a_bad_path_is_said_in_the_dialog_and_nothing_typed_is_lost(tmp_path: Path, size: tuple[int, int]) -> None:
    async with running(size=size) as deck:
        await deck.press("x")
        for path, said in ((tmp_path / "x.txt", "this one ends in .txt"), (tmp_path / "none" / "x.json", "No such file")):
            await write(deck, path)
            assert deck.dialog == "ExportDialog"
            assert said in " ".join(deck.app.screen.fault.split())  # type: ignore[attr-defined]
            assert "✗" in deck.text
            assert deck.app.screen.query_one(Input).value == str(path)
        assert list(tmp_path.iterdir()) == []
        await write(deck, tmp_path / "x.json")
        assert deck.dialog == ""


async def test_a_bug_while_writing_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str, text: str) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(exporting, "write_new", fail)
    async with running() as deck:
        await deck.press("x")
        await write(deck, tmp_path / "x.json")
        assert "vfdeck itself failed (KeyError)" in deck.text
        assert "secret" not in deck.text


async def test_no_token_is_written(tmp_path: Path) -> None:
    token = "9e3b1d52-7c41-4f0a-8a6e-2f5b8c1d9e07"
    async with running(scenario.load("default", seed=1), size=(120, 40)) as deck:
        while deck.tree.row_id is None or deck.tree.row_id.bdf != "0000:af:00.0":
            await deck.press("down")
        await deck.press("t")
        await deck.paste(token)
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        await deck.press("y")
        await deck.until(lambda: "✓" in deck.line)
        for number, offer in enumerate(deck.main._offers()):
            for ending in offer.make if not offer.none else ():
                offer.write(str(tmp_path / f"{number}{ending}"))
        written = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert {"0.json", "2.jsonl", "3.json", "4.sh", "4.jsonl"} <= set(written)
        assert "vf_token=..." in written["4.sh"]
        assert not any(token in text or token.replace("-", "") in text for text in written.values())
