"""Predictions scored: what vfdeck would foretell of an operation, beside what the kernel answers to it.

Every actor of the random operations is a vfdeck of its own: it sees the host as `LocalHost` does, knows of tokens what its own
scored operations taught it, and nothing of what the others do but what they hold open. An operation is foretold if it is one that
vfdeck could make as a step of a change; odd strings and numbers are not. "Exact" and wrong must not happen.
"""

from __future__ import annotations

import dataclasses
import errno
import random
import re
from dataclasses import dataclass, field

from vfdeck.backend import lessons
from vfdeck.backend.acts import DRIVERS, DRIVERS_PROBE, Act, FeatureAct, OpenAct, Write
from vfdeck.backend.changes import BindDriver, Change, Open, OpenPath, Prediction, SetNumvfs, SetToken
from vfdeck.backend.holders import holders
from vfdeck.backend.kernel import VFIO_DEVICE_FEATURE_SET, Kernel, Stage
from vfdeck.backend.knowledge import TokenWatch
from vfdeck.backend.model import Certainty, Function, Holder, Scores, Snapshot
from vfdeck.backend.player import Player, Step
from vfdeck.backend.predict import predict_act
from vfdeck.backend.predict.ask import Ask
from vfdeck.backend.predict.seen import NOT_SEEN, look_beside
from vfdeck.backend.token import Token
from vfdeck.backend.topology import scan
from vfdeck.backend.vfio import DEVICES

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ARGUMENT = re.compile(rf"(?P<bdf>[0-9a-f:.]+)(?: vf_token=(?P<token>{_UUID}))?")
_VALUES = {
    "sriov_numvfs": re.compile(r"(0|[1-9]\d{0,5})\n?"),
    "sriov_drivers_autoprobe": re.compile(r"[01]\n?"),
    "driver_override": re.compile(r"[a-z-]+\n?|\n"),
}


@dataclass(frozen=True)
class Told:
    """A prediction, with what it was made from."""

    step: Step
    actor: str
    act: Act
    snapshot: Snapshot
    prediction: Prediction


@dataclass
class Forecast:
    """Foretells the operations of players and keeps the score. `share`: one in so many is foretold, chosen by the seed."""

    kernel: Kernel
    player: Player
    seed: str = ""
    share: int = 1
    scores: Scores = field(default_factory=Scores)
    wrong: list[str] = field(default_factory=list)  # exact and wrong: operation, what was known, prediction
    missed: list[str] = field(default_factory=list)  # likely and wrong, for a look at what could be better
    _watches: dict[str, TokenWatch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = random.Random(f"forecast {self.seed}")

    def before(self, step: Step) -> Told | None:
        """What vfdeck would foretell of an operation; None where it is none of vfdeck's, or not among those that are looked at."""
        chosen = self._rng.randrange(self.share) == 0
        act = self._act(step)
        if act is None or not chosen:
            return None
        actor = step.get("actor", "a")
        snapshot = self._snapshot(actor)
        function = snapshot.functions.get(_bdf(act))
        if function is None:
            return None
        own, change = frozenset(h.bdf for h in snapshot.holders if h.own), _change(act)
        seen = look_beside(self.kernel, change, snapshot) if change is not None else NOT_SEEN
        return Told(step, actor, act, snapshot, predict_act(act, Ask(function, snapshot, own, seen)))

    def after(self, told: Told | None, answer: Step) -> None:
        """Compare with the kernel's answer and learn from it."""
        if told is None:
            return
        got = _answer(told, answer)
        right = told.prediction.answer == got
        self.scores = self.scores.plus(told.prediction.certainty, right)
        if not right and told.prediction.certainty is not Certainty.UNKNOWN:
            exact = told.prediction.certainty is Certainty.EXACT
            (self.wrong if exact else self.missed).append(_story(told, got))
        self._learn(told, answer)

    # -- what vfdeck sees and knows ----------------------------------------------------------------------------------
    def _snapshot(self, actor: str) -> Snapshot:
        """The host as a vfdeck sees it that has open what `actor` has; see `LocalHost.snapshot`."""
        watch = self._watches.setdefault(actor, TokenWatch())
        moment = watch.mark()
        seen = scan(self.kernel, {})
        opened = self.kernel.open_files()
        held = holders(opened.files, seen.functions)
        mine = {bdf: Holder(bdf, 1, "vfdeck", "", kind, True, Certainty.EXACT) for bdf, kind in self.player.held(actor).items()}
        # on a real kernel all actors are programs of this very process
        others = tuple(dataclasses.replace(h, own=False) for h in held.holders if h.bdf not in mine)
        tokens = watch.update(seen.functions.values(), others, seen.taken, moment)
        return dataclasses.replace(
            seen,
            holders=(*mine.values(), *others),
            unseen=opened.unseen,
            unattributed=held.unattributed,
            late=opened.late,
            tokens=tokens,
            problems=(*seen.problems, *held.problems),
        )

    def _learn(self, told: Told, answer: Step) -> None:
        watch, change = self._watches[told.actor], _change(told.act)
        if change is None or answer["result"] == "BLOCKED":
            return
        if answer["result"] == "OK":
            lessons.success(watch, change, told.snapshot, self.kernel.clock())
        elif "stage" in answer:
            number, now = getattr(errno, answer["result"]), self.kernel.clock()
            lessons.refusal(watch, change, told.snapshot, number, Stage(answer["stage"]), now)

    # -- operations as acts ------------------------------------------------------------------------------------------
    def _act(self, step: Step) -> Act | None:
        """The act of vfdeck that does the same; None where vfdeck does no such thing."""
        makers = {"open": self._open, "bind_iommufd": self._bind, "write": self._write, "feature": self._feature}
        return makers[step["op"]](step) if step["op"] in makers else None

    def _open(self, step: Step) -> Act | None:
        match = _ARGUMENT.fullmatch(step["argument"])
        if match is None or match["bdf"] != step["device"]:
            return None
        token = Token.parse(match["token"]) if match["token"] else None
        return OpenAct(step["device"], token, OpenPath.GROUP)

    def _bind(self, step: Step) -> Act | None:
        if step.keys() & {"flags", "argsz", "iommufd"}:
            return None
        token = Token(bytes.fromhex(step["token"])) if step.get("token") else None
        return OpenAct(step["device"], token, OpenPath.CDEV)

    def _write(self, step: Step) -> Act | None:
        path, data = step["path"], step["data"]
        name = path.rsplit("/", 1)[-1]
        if name in ("bind", "unbind"):
            made = self._loaded(path)  # else no plan is made: see `plan_on`
        else:
            made = path == DRIVERS_PROBE or (name in _VALUES and _VALUES[name].fullmatch(data) is not None)
        return Write(path, data.encode(), "") if made else None

    def _loaded(self, path: str) -> bool:
        """Whether the driver whose file it is is loaded."""
        try:
            return bool(self.kernel.names(path.rsplit("/", 1)[0]))
        except OSError:
            return False

    def _feature(self, step: Step) -> Act | None:
        bdf, data = self.player.bdf_of(step["actor"], step["handle"]), bytes.fromhex(step["data"])
        if bdf is None or step["flags"] != VFIO_DEVICE_FEATURE_SET or len(data) != 16:
            return None
        return FeatureAct(bdf, Token(data))


def _bdf(act: Act) -> str:
    if isinstance(act, FeatureAct):
        return act.pf
    if not isinstance(act, Write):
        return act.bdf
    return act.path.removeprefix(f"{DEVICES}/").split("/")[0] if act.path.startswith(DEVICES) else act.data.decode().strip()


def _change(act: Act) -> Change | None:
    """The change that the act carries out as its last or only step, where more is read for it or it teaches something of tokens."""
    match act:
        case OpenAct():
            return Open(act.bdf, act.token, True, act.path)
        case FeatureAct():
            return SetToken(act.pf, act.token)
        case Write() if act.path.endswith("/sriov_numvfs"):
            return SetNumvfs(_bdf(act), int(act.data))
        case Write() if act.path.endswith("/bind"):
            return BindDriver(act.data.decode().strip(), act.path.removeprefix(f"{DRIVERS}/").split("/")[0])
    return None


def _answer(told: Told, answer: Step) -> str:
    """The kernel's answer in the words of a prediction."""
    result = answer["result"]
    if result in ("OK", "BLOCKED"):
        return str(result)
    if isinstance(told.act, Write):
        return f"{result} at {told.act.path.rsplit('/', 1)[-1]}"
    return f"{result} at {answer.get('stage', Stage.FEATURE)}"


def _story(told: Told, got: str) -> str:
    """An operation that was not answered as foretold, with what was known; tokens here are the test's own."""
    view, bdf = told.snapshot, _bdf(told.act)
    function = view.functions[bdf]
    about: list[Function | None] = [function, view.functions.get(function.physfn or "")]
    facts = [str(f) for f in about if f is not None]
    facts += [str(h) for h in view.holders]
    facts += [str(p) for p in view.problems]
    facts += [str(view.tokens.get(function.physfn or bdf)), str(view.host)]
    expected = f"expected {told.prediction.answer} ({told.prediction.certainty}: {told.prediction.reason}), got {got}"
    return "\n".join([str(told.step), f"  {expected}", *(f"    {fact}" for fact in facts)])
