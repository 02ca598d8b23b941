"""Whole conversations with an agent, as they go over the wire: files that are played to one, and its answers compared.

    python -m tests.agent.transcripts      plays them all, and writes its answers into them: see what `git diff` makes of it

A file begins with `host SCENARIO [read-only]`. A line that begins with `>` is sent as it stands; what follows with `<` is the
answer, indented, word for word but for what `FREE` names. A line with `!` is something that happens:

    ! begin KEY     the operation goes on until it is over; before that it waits at its beginning
    ! events        the host hears what its kernel tells; before that nobody has told it
    ! breaks CALL   a method of the host meets a fault of its own from now on
    ! hangs CALL    it never comes back from now on, and calls may take a hundredth of a second
    ! end           the client ends, and so does the agent

A line with `#` is for the reader. Clock, seed and boot id are the scenario's.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from vfdeck import __version__
from vfdeck.backend.agent import protocol
from vfdeck.backend.agent.framing import message
from vfdeck.backend.agent.server import Server
from vfdeck.backend.agent.service import HostService
from vfdeck.backend.changes import Change, Outcome, Plan
from vfdeck.backend.sim.scenario import SimulatedHost, load

FOLDER = Path(__file__).with_suffix("")
#: What may differ from run to run, and from version to version, and what stands for it.
FREE: tuple[tuple[str, str], ...] = (
    (re.escape(f'"version": "{__version__}"'), '"version": "VERSION"'),
    (r'"euid": \d+', '"euid": EUID'),
    (rf'"pid": {os.getpid()}\b', '"pid": AGENT'),
    (r'"description": "(?:[^"\\]|\\.)*interface ([\w.]+)\\n(?:[^"\\]|\\.)*"', r'"description": "... interface \1 ..."'),
)
#: The longest that anything may take before a transcript counts as stuck, seconds.
PATIENCE = 60.0


class _Slow:
    """A host that does what the transcript says, when it says so."""

    def __init__(self, host: SimulatedHost) -> None:
        self.host = host
        self.begun = threading.Event()
        self.told = threading.Semaphore(0)
        self.listens = threading.Semaphore(0)
        self.is_over = False
        self._perform, self._wait = host.perform, host.wait_for_change

    def perform(self, change: Change, confirmed: Plan | None = None) -> Outcome:
        """As the host's, once it may begin."""
        assert self.begun.wait(PATIENCE)
        return self._perform(change, confirmed)

    def wait_for_change(self, _seconds: float) -> bool:
        """Whether something happened, once the transcript lets the kernel tell."""
        self._wait(0.0)  # it listens from now on
        self.listens.release()
        self.told.acquire()
        return not self.is_over and self._wait(0.0)


class Conversation:
    """One agent, and the client of one transcript."""

    def __init__(self, scenario: str, read_only: bool) -> None:
        self._slow = _Slow(load(scenario))
        self._host = self._slow.host
        self._patches: list[Any] = [
            patch.object(self._host, "perform", self._slow.perform),
            patch.object(self._host, "wait_for_change", self._slow.wait_for_change),
        ]
        for one in self._patches:
            one.start()
        source, self._out = os.pipe()
        self._in, sink = os.pipe()
        news, writer = os.pipe2(os.O_NONBLOCK)

        def wake() -> None:
            with suppress(BlockingIOError):
                os.write(writer, b"!")

        server = Server(HostService(self._host, read_only, wake), source, sink, news)

        def run() -> None:
            with suppress(BrokenPipeError):
                server.run()
            os.close(sink)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        self._rest = b""
        self._listening = False
        self._stuck = threading.Event()

    def say(self, text: str) -> None:
        """Send what a line says."""
        self._listening = self._listening or '"io.vfdeck.Agent.Events"' in text
        os.write(self._out, text.encode() + b"\0")

    def hear(self) -> str:
        """The next answer; "" where there is none any more. Raises AssertionError for what is not written as messages are."""
        while b"\0" not in self._rest:
            data = os.read(self._in, 1 << 16)
            if not data:
                return ""
            self._rest += data
        one, _, self._rest = self._rest.partition(b"\0")
        value = json.loads(one)
        assert one + b"\0" == message(value), "not written as messages are"
        text = json.dumps(value, indent=1, ensure_ascii=False)
        for free, stands in FREE:
            text = re.sub(free, stands, text)
        return text

    def happen(self, what: str, about: str) -> None:
        """Have something happen, and wait until it has."""
        if what == "begin":
            self._slow.begun.set()
            for thread in threading.enumerate():
                if thread.name == f"operation {about}":
                    thread.join(PATIENCE)
            self._slow.begun.clear()
        elif what == "events":
            assert self._listening, "nobody has asked for events"
            assert self._slow.listens.acquire(timeout=PATIENCE)
            self._slow.told.release()
            assert self._slow.listens.acquire(timeout=PATIENCE)  # it has told, and listens again
            self._slow.listens.release()
        elif what == "breaks":
            self._instead(patch.object(self._host, about, side_effect=RuntimeError("what is not told")))
        elif what == "hangs":
            name = about.title().replace("_", "")
            self._instead(patch.object(self._host, about, side_effect=lambda *_: self._stuck.wait(PATIENCE)))
            self._instead(patch.dict(protocol.DEADLINES, {name: 0.01}))
        elif what == "end":
            os.close(self._out)
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive()
        else:
            raise AssertionError(f"! {what}: nothing that can happen")

    def _instead(self, one: Any) -> None:
        one.start()
        self._patches.append(one)

    def close(self) -> None:
        """End what is left, whatever came of it."""
        self._slow.begun.set()
        self._slow.is_over = True
        self._slow.told.release()
        self._stuck.set()
        with suppress(OSError):
            os.close(self._out)
        self._thread.join(PATIENCE)
        for one in reversed(self._patches):
            one.stop()
        self._host.close()


def play(text: str) -> str:
    """The transcript, with the answers that an agent gives now."""
    head, *lines = [line for line in text.splitlines() if not line.startswith("<")]
    word, scenario, *rest = head.split()
    assert word == "host", "expected: host SCENARIO [read-only]"
    conversation = Conversation(scenario, "read-only" in rest)
    try:
        return "\n".join([head, *_played(conversation, lines)]) + "\n"
    finally:
        conversation.close()


def _played(conversation: Conversation, lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if line.startswith("> "):
            conversation.say(line[2:])
            heard = conversation.hear()
            yield from (f"< {part}" for part in heard.splitlines()) if heard else ["< (nothing: the connection has ended)"]
        elif line.startswith("! "):
            what, _, about = line[2:].partition(" ")
            conversation.happen(what, about)


def transcripts() -> list[Path]:
    """All of them."""
    return sorted(FOLDER.glob("*.txt"))


if __name__ == "__main__":
    for path in transcripts():
        before = path.read_text(encoding="utf-8")
        after = play(before)
        path.write_text(after, encoding="utf-8")
        print(f"{path.name}: {'as it was' if before == after else 'written anew'}")
