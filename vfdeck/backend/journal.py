"""Who set which PF's token when: what the kernel tells nobody, kept from run to run by fingerprint. A token is never in here.

Each line of `tokens.jsonl` is an event of one token record of one kernel: the record begins when the PF is bound to vfio-pci and
ends when it leaves, or when the machine reboots. So an event holds as long as the boot (`boot_id`) and the binding
(`Kernel.binding`) are those in the line. Several vfdecks may write; the order of the lines is the order of the events. What they
say together is in `entries.py`.

The file may be on a file system that does not answer any more. Whoever looks gets what was read before; whoever notes something
waits a little; both are told.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

from vfdeck.backend.entries import Entry, Event, Newer, Program, Told, needed, parse
from vfdeck.backend.errands import Errand, silence
from vfdeck.backend.life import Life
from vfdeck.backend.model import Problem, ProblemKind, TokenEvent
from vfdeck.backend.past import past
from vfdeck.backend.state_folder import PATIENCE, StateFolder
from vfdeck.backend.text import printable

FILE = "tokens.jsonl"

#: A journal of more bytes is shortened to what still holds.
LONG = 256 << 10

#: For how long a look waits for the file system, and a note, seconds: once, not at each (`Errands.wait`).
LOOK_PATIENCE, NOTE_PATIENCE = 0.5, 5.0

#: A setting of a run of which nobody can tell whether it lives is over after so long, by the boot clock, seconds.
SETTING_TAKES = 3600.0


class Journal:
    """The journal of one machine, as one run of vfdeck writes and reads it. Never raises: see `problems`. Any thread may use it."""

    def __init__(
        self, folder: StateFolder | None, boot: str, machine: str = "", user: Callable[[], str] = str, life: Life | None = None
    ) -> None:
        """`folder` None: there is no place to keep it in, which is a problem that is told; what is noted is kept in memory.

        `user` is asked on whose behalf this process runs when there is something to note; `life`, who lives still.
        """
        self._folder = folder
        self.boot, self.machine = boot, machine
        self._user = user
        self._life = life
        self.run = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._lock = threading.Lock()  # guards what follows; never held while the disk is waited for
        self._unwritten: list[Entry] = []
        self._refusal = ""
        self._looking: Errand | None = None
        self._mark: tuple[int, ...] | None = None
        self._read = False
        self._records: dict[tuple[str, int | None], list[Entry]] = {}
        self._told: dict[tuple[str, int | None], Told] = {}
        self._lives: dict[str, bool | None] = {}  # of the runs that began something: whether they live
        self._rebooted: dict[str, tuple[str, int | None, Told]] = {}  # each PF's newest record of an earlier boot; boot, binding
        self._damage: list[Problem] = []

    # -- writing -----------------------------------------------------------------------------------------------------
    def note(
        self,
        event: Event,
        pf: str,
        fingerprint: str,
        now: float,
        binding: int | None,
        holders: Iterable[Program] = (),
        way: str = "",
    ) -> None:
        """Write down what happened; where that fails now it is tried again with every later look."""
        if not self.boot:  # without it the entry could never be told from those of other boots
            return
        by, up = self._user(), self._life.up() if self._life else None
        started, space = (self._life.started, self._life.space) if self._life else (None, "")
        with self._lock:
            over = self._over(self._told.get((pf, binding)), now, up)
            who = (self.boot, self.machine, by, self.run, _in_order(holders))
            entry = Entry(event, pf, binding, fingerprint, now, *who, way, up, started, space, over)
            self._unwritten.append(entry)
        if self._folder is not None:
            self._folder.errands.wait(self._folder.errands.send(lambda: self._write(PATIENCE)), NOTE_PATIENCE)

    def _over(self, told: Told | None, now: float, up: float | None) -> tuple[str, ...]:
        """The runs that began to set a token, and will not go on: those that died, and of the others those of long ago."""
        begun = told.begun if told else ()
        return tuple(e.run for e in begun if e.run != self.run and self._is_over(e, now, up))

    def _is_over(self, entry: Entry, now: float, up: float | None) -> bool:
        lives = self._lives.get(entry.run)
        if lives is not None:
            return not lives
        age = now - entry.time if up is None or entry.up is None else up - entry.up
        return age > SETTING_TAKES

    def _write(self, patience: float) -> None:
        """On the thread that may wait."""
        while self._folder is not None:
            with self._lock:
                if not self._unwritten:
                    self._refusal = ""
                    return
                entry = self._unwritten[0]
            try:
                self._folder.append(FILE, entry.to_line(), patience, LONG, self._shorten)
            except OSError as error:
                with self._lock:
                    self._refusal = _reason(error)
                return
            with self._lock:
                del self._unwritten[0]

    def _shorten(self, lines: list[bytes]) -> list[bytes]:
        """What still holds: entries of this boot and of other machines, each as long as a later one does not make it moot.

        Lines that cannot be read stay as they are: whoever wrote them may want them.
        """
        kept: list[bytes | None] = list(lines)
        records: dict[tuple[str, str, int | None], list[tuple[int, Entry]]] = {}
        last: dict[tuple[str, str], str] = {}  # the newest boot in which there was an entry of a PF of a machine
        bindings: dict[tuple[str, str], list[int | None]] = {}  # of a PF in a boot, the newest last
        for place, line in enumerate(lines):
            try:
                entry = parse(line)
            except (ValueError, Newer):
                continue
            records.setdefault((entry.boot, entry.pf, entry.binding), []).append((place, entry))
            last[entry.machine, entry.pf] = entry.boot
            known = bindings.setdefault((entry.boot, entry.pf), [])
            known[:] = [*(other for other in known if other != entry.binding), entry.binding]
        for (boot, pf, binding), entries in records.items():
            machine = entries[0][1].machine
            rebooted = boot != self.boot and machine == self.machine and last[machine, pf] != boot
            # the one before the last is of use to say which token was lost
            over = rebooted or binding not in bindings[boot, pf][-2:]
            wanted = set() if over else needed([entry for _, entry in entries])
            for number, (place, _) in enumerate(entries):
                if number not in wanted:
                    kept[place] = None
        return [line for line in kept if line is not None]

    # -- reading -----------------------------------------------------------------------------------------------------
    def look(self) -> None:
        """Read what is new, and write what could not be written before; what is on a disk that does not answer stays as it was."""
        if self._folder is None:
            return
        errands = self._folder.errands
        with self._lock:
            looking = self._looking
            if looking is None or looking.over.is_set():
                looking = self._looking = errands.send(self._catch_up)
        errands.wait(looking, LOOK_PATIENCE)
        self._see_who_lives()

    def _catch_up(self) -> None:
        """On the thread that may wait."""
        if self.unwritten:
            self._write(0.0)
        if self._folder is None or not self.boot:
            return
        try:
            mark = self._folder.mark(FILE)
            if self._read and mark == self._mark:
                return
            lines = self._folder.lines(FILE)
        except OSError as error:
            with self._lock:
                self._damage = [self._problem(f"{_reason(error)}; what it tells of tokens is not known")]
            return
        with self._lock:
            self._mark, self._read = mark, True
            self._take(lines)

    def _see_who_lives(self) -> None:
        """Of the runs that began to set a token, and did not tell what came of it. Who is dead stays so."""
        with self._lock:
            asked = {e.run: e for told in self._told.values() for e in told.begun if self._lives.get(e.run) is not False}
        lives = {run: self._life.lives(e.pid, e.started, e.space) if self._life else None for run, e in asked.items()}
        with self._lock:
            self._lives |= lives

    def _take(self, lines: list[bytes]) -> None:
        self._records, self._told, self._rebooted, self._damage = {}, {}, {}, []
        damaged: list[str] = []
        newer = 0
        for number, line in enumerate(lines, 1):
            try:
                self._enter(parse(line))
            except ValueError as error:
                damaged.append(f"line {number}: {error}")
            except Newer:
                newer += 1
        if damaged:
            more = f" (and {len(damaged) - 1} more)" if damaged[1:] else ""
            what = f"{damaged[0]}{more}; expected an entry of a vfdeck: left alone and not believed"
            self._damage.append(self._problem(what))
        if newer:
            what = f"{newer} {'entry' if newer == 1 else 'entries'} of a newer vfdeck: left alone, and not known here"
            self._damage.append(self._problem(what))

    def _enter(self, entry: Entry) -> None:
        if entry.boot == self.boot:
            key = (entry.pf, entry.binding)
            self._records.setdefault(key, []).append(entry)
            told = self._told.get(key)
            self._told[key] = (told or Told(entry)).and_then(entry)
        elif self.machine and entry.machine == self.machine:
            boot, binding, told = self._rebooted.get(entry.pf, ("", None, None))
            if (boot, binding) != (entry.boot, entry.binding) or told is None:
                told = Told(entry)
            self._rebooted[entry.pf] = (entry.boot, entry.binding, told.and_then(entry))

    def told(self, pf: str, binding: int | None) -> Told | None:
        """What is written of a PF's present token record, by all programs."""
        with self._lock:
            return self._told.get((pf, binding)) if binding is not None else None

    def lives(self, run: str) -> bool | None:
        """Whether a run that began to set a token lives still, as of the last look; None: that can't be told."""
        with self._lock:
            return self._lives.get(run)

    def past(self, pf: str, binding: int) -> tuple[TokenEvent, ...]:
        """What happened to a PF's token since it was bound: what is written of it (of long journals the end), and still to be."""
        with self._lock:
            waiting = [entry for entry in self._unwritten if (entry.pf, entry.binding) == (pf, binding)]
            return past((*self._records.get((pf, binding), ()), *waiting), self.run)

    def lost(self, pf: str, binding: int | None) -> tuple[str, str]:
        """Fingerprint of the token that was last in force in a record that is over, and how it went ("rebound", "rebooted")."""
        with self._lock:
            over = [t.in_force for (name, b), t in self._told.items() if name == pf and b != binding and t.in_force]
            if over:
                return over[-1].fingerprint, "rebound"
            rebooted = self._rebooted.get(pf)
            entry = rebooted[2].in_force if rebooted else None
            return (entry.fingerprint, "rebooted") if entry else ("", "")

    @property
    def unwritten(self) -> bool:
        """Whether there is something that could not be written yet."""
        with self._lock:
            return bool(self._unwritten)

    def _problem(self, what: str) -> Problem:
        return Problem(self._place, what, ProblemKind.MEMORY)

    @property
    def _place(self) -> str:
        return printable(self._folder.place(FILE)) if self._folder else "token journal"

    def problems(self, over: bool = False) -> tuple[Problem, ...]:
        """What is in the way of reading or writing it. `over`: this program ends, and what is not written by now never is."""
        late = self._folder.errands.late() if self._folder else 0.0
        with self._lock:
            found = list(self._damage)
            if late > LOOK_PATIENCE:
                found.append(self._problem(f"{silence(late)}; what is known of tokens may be old"))
            if self._unwritten:
                what = self._refusal or (silence(late) if self._folder else "there is no home directory to keep it in")
                kept = "not written down: the next vfdeck will not know it" if over else "remembered until this vfdeck ends"
                found.append(self._problem(f"{what}; what happened to tokens is {kept}"))
            return tuple(found)


def _in_order(programs: Iterable[Program]) -> tuple[Program, ...]:
    return tuple(sorted(programs, key=lambda program: (program[0], program[1] or 0)))


def _reason(error: OSError) -> str:
    return printable(error.strerror or str(error))
