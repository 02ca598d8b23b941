"""A known token goes through every command and through the dashboard; then whatever they left behind is searched for it.

Left behind is what others may see or find later: output, files, the journal, the audit trail, pictures, logs, tracebacks, what
other programs were given. Only where a person asked for the token to go (`--out`, a recording) it may be.
"""

from __future__ import annotations

import argparse
import base64
import errno
import io
import json
import os
import pty
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from textual import constants

from tests.pilot.driving import Deck, running
from vfdeck.app import cli, failure
from vfdeck.app.commands import hosts
from vfdeck.app.dashboard.app import DashboardApp
from vfdeck.backend import workload
from vfdeck.backend.changes import SetNumvfs
from vfdeck.backend.knowledge import TokenWatch
from vfdeck.backend.memory import Memory
from vfdeck.backend.sim.klog import KernelLog
from vfdeck.backend.sim.machine import Fault
from vfdeck.backend.sim.scenario import SimulatedHost
from vfdeck.backend.token import Token

IDLE, IDLE_VF, FREE_VF = "0000:af:00.0", "0000:af:00.1", "0000:03:02.5"

#: Commands that are not run here, and why.
ELSEWHERE = {
    "demo": "the dashboard, driven below",
    "agent": "spoken to in tests/unit/test_agent_command.py",
    "watch": "run until it is interrupted, below",
}


def fresh() -> Token:
    """A token in whose digits nothing else will be found by chance."""
    return Token(secrets.token_bytes(16))


def found_in(token: Token, content: bytes) -> list[str]:
    """In which spellings a token is in what was left behind; a good part of it counts."""
    secret, digits = token.reveal(), token.reveal().hex()
    squeezed = re.sub(rb"[\s:_-]|\\x|0x|,", b"", content).lower()
    spellings = {
        "bytes": (secret, content),
        "bytes of a little-endian UUID": (_swapped(secret), content),
        "its first half as bytes": (secret[:8], content),
        "its second half as bytes": (secret[8:], content),
        "its first digits": (digits[:16].encode(), squeezed),
        "its last digits": (digits[16:].encode(), squeezed),
        "a number": (str(int(digits, 16)).encode(), content),
        "base64": (base64.b64encode(secret)[:20], content),
        "urlsafe base64": (base64.urlsafe_b64encode(secret)[:20], content),
        "a list of numbers": (",".join(map(str, secret)).encode(), content.replace(b" ", b"")),
        "Python's way to write bytes": (repr(secret)[2:-1].encode(), content),
    }
    return [name for name, (spelling, where) in spellings.items() if spelling in where]


def _swapped(secret: bytes) -> bytes:
    return secret[3::-1] + secret[5:3:-1] + secret[7:5:-1] + secret[8:]


@pytest.mark.parametrize(
    "spell",
    [
        Token.reveal,
        lambda t: t.reveal_text().encode(),
        lambda t: t.reveal_text().upper().encode(),
        lambda t: t.reveal().hex().encode(),
        lambda t: t.reveal().hex(" ").upper().encode(),
        lambda t: t.reveal_text()[:23].encode(),
        lambda t: repr(t.reveal()).encode(),
        lambda t: str(list(t.reveal())).encode(),
        lambda t: base64.b64encode(t.reveal()),
        lambda t: "\n".join(t.reveal_text()).encode(),
        lambda t: json.dumps({"x": t.reveal_text()}).encode(),
    ],
)
def test_the_search_finds_every_spelling(spell: Callable[[Token], bytes]) -> None:
    token = fresh()
    assert found_in(token, b"something " + spell(token) + b" else")
    assert not found_in(token, token.fingerprint.encode() + spell(fresh()))


class Scene:
    """Where the commands run: all files they can leave lie below one folder, and simulated hosts remember as real ones do."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder, self._capture = folder, capture
        self.token = fresh()
        self.secret = folder / "secret"  # where the test keeps it
        self.secret.touch(mode=0o600)
        self.secret.write_text(f"{self.token.reveal_text()}\n")
        self.mine = {self.secret}
        for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"):
            (folder / name).mkdir()
            patch.setenv(name, str(folder / name))
        patch.chdir(folder)
        patch.setenv("VFDECK_TRACEBACK", "1")
        patch.setattr(Token, "generate", classmethod(lambda cls: self.token))
        made = SimulatedHost.__init__

        def remembering(host: SimulatedHost, *arguments: Any, **keywords: Any) -> None:
            made(host, *arguments, **keywords)
            host._memory = Memory(host.kernel, os.environ)
            host._watch = TokenWatch(host._memory.journal, host._binding)

        patch.setattr(SimulatedHost, "__init__", remembering)

    def run(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        """Run a command line in this process; status and all that it said."""
        given = self.folder / "stdin"
        given.write_text(stdin)
        self.mine.add(given)
        keep = os.dup(0)
        fd = os.open(given, os.O_RDONLY)
        os.dup2(fd, 0)
        os.close(fd)
        before, sys.stdin = sys.stdin, io.TextIOWrapper(io.FileIO(0, closefd=False))
        try:
            status = cli.main(arguments)
        finally:
            sys.stdin = before
            os.dup2(keep, 0)
            os.close(keep)
        said = self._capture.readouterr()
        return status, said.out + said.err

    def left(self) -> Iterator[tuple[str, bytes]]:
        """Every file but those in which the token was put on purpose, by name and content."""
        for path in self.folder.rglob("*"):
            if path.is_file() and path not in self.mine:
                yield path.name, path.name.encode() + path.read_bytes()

    def search(self, said: str = "") -> None:
        """Fail where the token is."""
        for name, content in (("what was said", said.encode("utf-8", "surrogateescape")), *self.left()):
            assert found_in(self.token, content) == [], name


@pytest.fixture
def scene(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, capfd, monkeypatch)


# -- commands ------------------------------------------------------------------------------------------------------------
FILE, STDIN, COMMAND = ("--token-file", "secret"), ("--token-stdin",), ("--token-command", "cat secret")
PRINT = f"{sys.executable} -c 'import os, sys; sys.stdin.read(); print(sys.argv, dict(os.environ))'"

#: Command lines, with the exit status that says that they did what is tested (None: it is up to the machine); {UUID} is the token.
LINES: list[tuple[tuple[str, ...], int | None]] = [
    (("token", "set", IDLE, *FILE, "--yes", "--demo"), 0),
    (("token", "set", IDLE, *STDIN, "--yes", "--json", "--demo"), 0),
    (("token", "set", IDLE, *COMMAND, "--dry-run", "--demo"), 0),
    (("token", "set", IDLE, *COMMAND, "--way", "feature", "--yes", "--demo"), 69),
    (("token", "set", IDLE, "--generate", "--to-command", PRINT, "--yes", "--demo"), 0),
    (("token", "set", IDLE, "--generate", "--out", "made", "--yes", "--demo"), 0),
    (("token", "set", IDLE, "--generate", "--show", "--yes", "--demo"), 64),
    (("token", "rotate", IDLE, "--out", "made", "--yes", "--json", "--demo"), 0),
    (("token", "verify", IDLE_VF, *FILE, "--demo"), 1),
    (("token", "verify", IDLE_VF, *STDIN, "--json", "--demo"), 1),
    (("token", "status", "--demo"), 1),
    (("token", "status", "--json", "--demo"), 1),
    (("token", "scan", "--demo"), 1),
    (("token", "scan"), 1),
    (("token", "scan", "--json"), 1),
    (("token", "set", IDLE, "--token", "{UUID}", "--demo"), 64),
    (("token", "set", IDLE, "--token={UUID}", "--demo"), 64),
    (("token", "set", "{UUID}", "--demo"), 64),
    (("token", "set", IDLE, "--token-file", "{UUID}", "--demo"), 64),
    (("token", "set", IDLE, "--token-command", "echo {UUID}", "--demo"), 64),
    (("token", "{UUID}"), 64),
    (("{UUID}",), 64),
    (("open", FREE_VF, *FILE, "--yes", "--demo"), 77),
    (("open", FREE_VF, *STDIN, "--yes", "--json", "--demo"), 77),
    (
        (
            "open",
            IDLE,
            *FILE,
            "--yes",
            "--demo",
            "--",
            *PRINT.replace("'", "").split(" ", 2)[:2],
            "import os, sys; print(os.environ)",
        ),
        0,
    ),
    (("open", IDLE, "--demo", "--", "qemu", "-device", "vfio-pci,vf-token={UUID}"), 64),
    (("tree", "--demo"), 0),
    (("tree", "--json", "--demo"), 0),
    (("tree",), None),
    (("holders", "--demo"), 0),
    (("holders", "--json"), None),
    (("check", "--open", FREE_VF, "--demo"), 2),
    (("doctor", "--demo"), 2),
    (("settings",), 0),
    (("history", "--json"), 1),
    (("explain", "D2"), 0),
    (("explain", "--bundle", "bundle", "--about", FREE_VF, "--demo"), 0),
    (("recipe", IDLE_VF, "--token-file", "secret", "--demo"), 0),
    (("recipe", IDLE_VF, "--json", "--demo"), 0),
    (("vfs", IDLE, "0", "--demo", "--dry-run"), 0),
    (("unbind", IDLE, "--demo", "--yes"), 0),
    (("bind", IDLE, "--default", "--demo", "--yes", "--json"), 0),
    (("reset", IDLE, "--demo", "--yes"), 0),
    (("autoprobe", IDLE, "off", "--demo", "--yes"), 0),
    (("record", "recording", "--steps", "steps", "--demo"), 0),
    (("replay", "recording"), 0),
    (("replay", "steps"), 65),
    (("dashboard",), 64),
]


@pytest.mark.parametrize(("line", "status"), LINES, ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "")
def test_commands(scene: Scene, line: tuple[str, ...], status: int | None) -> None:
    steps = scene.folder / "steps"
    argument = f"{FREE_VF} vf_token={scene.token.reveal_text()}"
    steps.write_text(json.dumps({"op": "open", "device": FREE_VF, "argument": argument, "handle": "h"}) + "\n")
    scene.mine |= {steps, scene.folder / "recording", scene.folder / "made"}
    if line[0] == "replay":
        scene.run("record", "recording", "--steps", "steps", "--demo")
    typed = [argument.replace("{UUID}", scene.token.reveal_text()) for argument in line]
    code = "import time; print(flush=True); time.sleep(600)"
    carrier = [sys.executable, "-c", code, f"--vfio-vf-token={scene.token.reveal_text()}"]
    with subprocess.Popen(carrier, stdout=subprocess.PIPE) as leaking:
        try:
            assert leaking.stdout is not None
            leaking.stdout.readline()
            found, said = scene.run(*typed, stdin=f"{scene.token.reveal_text()}\n")
        finally:
            leaking.kill()
    scene.search(said)
    assert status in (None, found), said


#: Command lines on one machine, one after the other, whose programs and log carry the token that is set first.
SESSION: list[tuple[str, ...]] = [
    ("token", "set", IDLE, *FILE, "--yes", "--demo"),
    ("token", "verify", IDLE_VF, *FILE, "--demo"),
    ("token", "status", "--demo"),
    ("token", "status", "--json", "--demo"),
    ("token", "scan", "--demo"),
    ("token", "scan", "--json", "--demo"),
    ("holders", "--demo"),
    ("holders", "--json", "--demo"),
    ("tree", "--demo"),
    ("tree", "--json", "--demo"),
    ("doctor", "--demo"),
    ("doctor", "--json", "--demo"),
    ("check", "--open", FREE_VF, "--demo"),
    ("check", "--open", FREE_VF, "--json", "--demo"),
    ("vfs", IDLE, "0", "--demo", "--dry-run"),
    ("open", IDLE_VF, *FILE, "--yes", "--demo"),
    ("open", IDLE_VF, "--yes", "--demo"),
    ("open", IDLE_VF, "--yes", "--json", "--demo"),
    ("open", FREE_VF, *FILE, "--yes", "--json", "--demo"),
    ("recipe", IDLE_VF, "--demo"),
    ("explain", "--bundle", "bundle", "--about", IDLE_VF, "--demo"),
    ("explain", "--bundle", "--about", FREE_VF, "--demo"),
    ("record", "recording", "--steps", "steps", "--demo"),
    ("autoprobe", IDLE, "off", "--demo", "--yes", "--json"),
    ("reset", IDLE, "--demo", "--yes", "--json"),
    ("token", "rotate", IDLE, "--out", "made", "--yes", "--json", "--demo"),
    ("token", "status", "--demo"),
    ("unbind", IDLE_VF, "--demo", "--yes", "--json"),
    ("bind", IDLE_VF, "vfio-pci", "--demo", "--yes", "--json"),
]


def session(scene: Scene, patch: pytest.MonkeyPatch) -> str:
    """All that the commands say on one machine, where programs have the token in command lines and names, and the log has it."""
    text = scene.token.reveal_text()
    steps, recording = scene.folder / "steps", scene.folder / "recording"
    steps.write_text(json.dumps({"op": "open", "device": FREE_VF, "argument": f"{FREE_VF} vf_token={text}", "handle": "h"}) + "\n")
    scene.mine |= {scene.folder / "made", steps, recording}
    host = hosts.simulated("default", 1)
    holders = {holder.pid for holder in host.snapshot().holders if not holder.own}
    assert holders
    for pid in holders:
        process = host.scenario.machine.processes[pid]
        process.arguments = (*process.arguments, f"--vfio-vf-token={text}")
        process.name += f" vf-token={text}"
    log = KernelLog.add

    def talkative(kept: KernelLog, uptime: float, line: str) -> None:
        """The kernel's line, with what a driver of somebody else's may add to it."""
        log(kept, uptime, f"{line} vf_token={text}" if line.startswith("vfio-pci") else line)

    patch.setattr(KernelLog, "add", talkative)
    for bdf in (IDLE, IDLE_VF, FREE_VF):
        host.scenario.machine.info(f"vfio-pci {bdf}: asked for")
    patch.setattr(host, "close", lambda: None)
    patch.setattr("vfdeck.backend.sim.scenario.load", lambda *_, **__: host)
    patch.setattr("vfdeck.backend.sim.scenario.load_all", lambda *_, **__: (host,))
    said = []
    for line in SESSION:
        status, told = scene.run(*line)
        assert status not in (failure.USAGE, failure.SOFTWARE), (line, told)
        said.append(told)
    assert any(f"vf_token={text}" in line.text for line in host.kernel.log() or [])
    return "".join(said)


def test_commands_on_one_machine(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    said = session(scene, monkeypatch)
    assert f"vf-token=#{scene.token.fingerprint}" in said  # the holders' tokens were met
    assert "asked for vf_token=<removed>" in said  # and those of the log
    assert f'"{scene.token.fingerprint}"' in said or f"#{scene.token.fingerprint} is the token of {IDLE}" in said
    scene.search(said)


@pytest.mark.parametrize(
    ("where", "what", "broken"),
    [
        (Token, "fingerprint", property(lambda token: token.reveal().hex())),
        (workload, "redacted", lambda text: text),
    ],
    ids=["fingerprint", "redacted"],
)
def test_the_canary_sings(scene: Scene, monkeypatch: pytest.MonkeyPatch, where: object, what: str, broken: object) -> None:
    """Where what hides tokens is broken, the search on one machine must fail."""
    monkeypatch.setattr(where, what, broken)
    said = session(scene, monkeypatch)
    assert found_in(scene.token, said.encode("utf-8", "surrogateescape"))
    with pytest.raises(AssertionError):
        scene.search(said)


def test_a_line_of_the_log_that_comes_with_a_refusal(scene: Scene) -> None:
    """It becomes part of an explanation, which the dashboard shows and keeps."""
    host = hosts.simulated("default", 1)
    line = f"vfio-pci {IDLE}: strange, vf_token={scene.token.reveal_text()}"
    host.scenario.machine.faults[f"/sys/bus/pci/devices/{IDLE}/sriov_numvfs"] = [Fault(errno.EXDEV, line)]
    host.perform(SetNumvfs(IDLE, 0))
    outcome = host.perform(SetNumvfs(IDLE, 2))
    assert outcome.errno == errno.EXDEV
    assert outcome.explanation is not None
    assert f"strange, vf_token=#{scene.token.fingerprint}" in outcome.explanation.log
    scene.search(repr(outcome))


def commands(parser: argparse.ArgumentParser, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Every command of the parser, and whether it takes simulated hosts."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in below:
        for name, sub in action.choices.items():
            yield from commands(sub, (*above, name))
    if not below:
        yield above, any("--demo" in action.option_strings for action in parser._actions)


def test_no_command_is_forgotten() -> None:
    found = {command: simulated for command, simulated in commands(cli.parser()) if command[0] not in ELSEWHERE}
    assert ("token", "rotate") in found
    tried = {line[:length] for line, _ in LINES for length in (1, 2)}
    assert set(found) - tried == set()
    simulated = {command for command in found if found[command]}
    assert simulated - {line[:length] for line in SESSION for length in (1, 2)} == set()


def test_shown_once_on_a_terminal(tmp_path: Path) -> None:
    """There it is asked for; nowhere else is it, and not twice."""
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "HOME": str(tmp_path / "HOME"), "TMPDIR": str(tmp_path / "TMPDIR")}
    line = [sys.executable, "-m", "vfdeck", "token", "rotate", IDLE, "--show", "--yes", "--demo"]
    errors = tmp_path / "errors"
    with errors.open("wb") as sink:
        status = subprocess.run(
            line, env=environment, stdin=follower, stdout=follower, stderr=sink, timeout=60, check=False
        ).returncode
    os.close(follower)
    shown = os.read(leader, 1 << 16)
    os.close(leader)
    assert status == 0
    (text,) = re.findall(rb"^ +([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\r$", shown, re.MULTILINE)
    token = Token.parse(text.decode())
    assert found_in(token, shown.replace(text, b"", 1)) == []
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert found_in(token, path.name.encode() + path.read_bytes()) == [], path


def test_watch(scene: Scene) -> None:
    """It goes on until somebody interrupts it."""
    watching = subprocess.Popen(
        [sys.executable, "-m", "vfdeck", "watch", "--demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert watching.stdout is not None
    said = watching.stdout.readline()
    watching.terminate()
    said += watching.communicate(timeout=60)[0]
    assert said
    scene.search(said)


# -- the dashboard -------------------------------------------------------------------------------------------------------
def look(deck: Deck, folder: Path) -> None:
    """Keep everything that can be seen now, as text and as the picture that Textual makes of it."""
    number = len(list(folder.iterdir()))
    (folder / f"{number}.svg").write_text(deck.app.export_screenshot())
    (folder / f"{number}.txt").write_text(deck.text)
    (folder / f"{number}.clipboard").write_text(deck.app.clipboard)


async def go_to(deck: Deck, bdf: str) -> None:
    await deck.press("slash", *bdf, "enter")
    await deck.until(lambda: (found := deck.main.selected()[0]) is not None and found.bdf == bdf)


async def test_dashboard(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    log, pictures = scene.folder / "textual.log", scene.folder / "pictures"
    pictures.mkdir()
    monkeypatch.setenv("TEXTUAL_LOG", str(log))
    monkeypatch.setenv("TEXTUAL", "devtools,debug")
    monkeypatch.setattr(constants, "LOG_FILE", str(log))
    host = hosts.simulated("default", 1)
    async with running(host, size=(120, 40)) as deck:
        await go_to(deck, IDLE)
        await deck.press("t")
        await deck.paste(scene.token.reveal_text())
        look(deck, pictures)
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        look(deck, pictures)
        await deck.press("y")
        await deck.until(lambda: deck.line.startswith("✓"))
        look(deck, pictures)
        known = host.snapshot().tokens[IDLE]
        assert known.fingerprint == scene.token.fingerprint
        for key in ("e", "d", "p", "question_mark"):  # the result, the facts, the problems, the help
            await deck.press(key)
            look(deck, pictures)
            await deck.press("d" if key == "d" else "escape")
        await go_to(deck, IDLE_VF)
        await deck.press("o")
        look(deck, pictures)
        await deck.press("enter")
        await deck.until(lambda: deck.dialog == "ConfirmDialog")
        look(deck, pictures)
        await deck.press("y")
        await deck.until(lambda: not deck.dialog or deck.dialog == "Page")
        look(deck, pictures)
    assert f"#{scene.token.fingerprint}" in "".join(path.read_text() for path in pictures.glob("*.txt"))
    journal = (scene.folder / "XDG_STATE_HOME" / "vfdeck" / "tokens.jsonl").read_text()
    assert scene.token.fingerprint in journal
    assert (scene.folder / "XDG_STATE_HOME" / "vfdeck" / "audit.jsonl").exists()
    said = scene._capture.readouterr()
    scene.search(said.out + said.err)


async def test_crash_of_the_dashboard(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a token in a field, and in the values of the frames that fail."""
    app = DashboardApp([hosts.simulated("default", 1)], follow=False)
    said = io.StringIO()
    app.error_console = Console(file=said, width=200)

    def crash() -> None:
        text = scene.token.reveal_text()
        raise RuntimeError(f"a bug{text[:0]}")

    async def until_it_crashes() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            deck = Deck(app, pilot)
            await deck.until(lambda: len(deck.main.fleet.snapshots) == 1)
            await go_to(deck, IDLE)
            await deck.press("t")
            await deck.paste(scene.token.reveal_text())
            app.call_later(crash)
            await pilot.pause()

    with pytest.raises(RuntimeError, match="a bug"):
        await until_it_crashes()
    assert "a bug" in said.getvalue()
    out = scene._capture.readouterr()
    scene.search(said.getvalue() + out.out + out.err)


# -- the process ---------------------------------------------------------------------------------------------------------
def test_nothing_in_vfdeck_logs() -> None:
    """What Python's logging writes ends up in files of others' choice; nothing here uses it."""
    folder = Path(cli.__file__).parent.parent
    logs = re.compile(r"^\s*(import|from) logging\b|faulthandler", re.MULTILINE)
    users = [str(path) for path in folder.rglob("*.py") if logs.search(path.read_text())]
    assert users == []


@pytest.mark.parametrize(("command", "private"), [("token status --demo", True), ("tree --demo", False), ("open x", True)])
def test_commands_with_tokens_keep_their_memory_private(
    command: str, private: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("vfdeck.app.hygiene.keep_memory_private", lambda: asked.append(True))
    monkeypatch.setattr(sys, "argv", ["vfdeck", *command.split()])
    cli.main()
    assert bool(asked) == private
    cli.main(command.split())
    assert len(asked) == private


def test_memory_that_is_not_private_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("vfdeck.app.hygiene.keep_memory_private", lambda: "RLIMIT_CORE")
    monkeypatch.setattr(sys, "argv", ["vfdeck", "token", "status", "--demo"])
    cli.main()
    assert "vfdeck: could not keep this program's memory private (RLIMIT_CORE)" in capsys.readouterr().err


def test_private_memory() -> None:
    """In a process of its own; what that starts is an ordinary program again."""
    code = """
import ctypes, os, resource, subprocess
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
from vfdeck.app.hygiene import keep_memory_private
assert keep_memory_private() == "", "undone"
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, hard), "core"
assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0, "dumpable"
from vfdeck.backend.linux.procs import open_files
os.listdir("/proc/self/fd"), open("/proc/self/maps").read()
child = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
print(subprocess.run([__import__("sys").executable, "-c", child], capture_output=True, text=True).stdout)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "1", "")
