"""Judges: what says of one entry of the catalogue whether the facts make it apply, and which facts those are.

A judge's verdict is True (these facts make the entry apply), None (they leave it open) or False (they rule it out). With each
verdict goes a sentence about this host, whose words in braces `vfdeck.backend.wording` fills. Judges are combined as verdicts are,
and the sentences of all that were combined are heard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional, TypeVar

from vfdeck.backend.evidence import NOT_LOOKED, Evidence, Unread
from vfdeck.backend.facts import Facts
from vfdeck.backend.model import Function

T = TypeVar("T")

Verdict = Optional[bool]
Test = Callable[[Facts], Verdict]
Fill = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a judge says: the verdict, and the sentences for it, against it, and on what could not be checked."""

    verdict: Verdict
    speaks_for: tuple[str, ...] = ()
    speaks_against: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judge:
    """A test of the facts, with what is to be said when it holds, fails or cannot tell; "" where there is nothing to say.

    `parts` are the judges that it is combined of: their sentences are heard instead.
    """

    test: Test
    holds: str = ""
    fails: str = ""
    doubt: str | Callable[[Facts], str] = ""
    parts: tuple[Judge, ...] = ()

    def __call__(self, facts: Facts) -> Verdict:
        """The verdict alone."""
        return self.test(facts)

    def hear(self, facts: Facts, fill: Fill) -> Finding:
        """The verdict with its sentences; `fill` gives "" for a sentence whose words are not known."""
        verdict = self.test(facts)
        heard = [part.hear(facts, fill) for part in self.parts]
        own = self.doubt(facts) if callable(self.doubt) else fill(self.doubt)
        return Finding(
            verdict,
            _joined(fill(self.holds) if verdict else "", *(finding.speaks_for for finding in heard)),
            _joined(fill(self.fails) if verdict is False else "", *(finding.speaks_against for finding in heard)),
            _joined(own if verdict is None else "", *(finding.unchecked for finding in heard)),
        )


def _joined(own: str, *others: tuple[str, ...]) -> tuple[str, ...]:
    """Sentences once each, without empty ones."""
    return tuple(dict.fromkeys(text for text in (own, *(text for other in others for text in other)) if text))


# -- making judges ---------------------------------------------------------------------------------------------------
def judge(holds: str = "", fails: str = "", doubt: str = "") -> Callable[[Test], Judge]:
    """Make a judge of a function that tests the facts."""
    return lambda test: Judge(test, holds, fails, doubt)


def of_function(test: Callable[[Function], bool], holds: str = "", fails: str = "") -> Judge:
    """A test of the function; False where it is not there."""
    return Judge(lambda facts: facts.function is not None and test(facts.function), holds, fails)


def unread(value: object) -> str:
    """Why something could not be read, as a sentence; "" where nobody tried, or it could."""
    return f"Could not check: {value.why}." if isinstance(value, Unread) and value is not NOT_LOOKED else ""


def reading(read: Callable[[Evidence], T | Unread], test: Callable[[T, Facts], Verdict], holds: str = "", fails: str = "") -> Judge:
    """A test of something that was read after the refusal; open, with the reason, where it could not be read."""

    def verdict(facts: Facts) -> Verdict:
        value = read(facts.evidence)
        return None if isinstance(value, Unread) else test(value, facts)

    return Judge(verdict, holds, fails, lambda facts: unread(read(facts.evidence)))


# -- combining them --------------------------------------------------------------------------------------------------
def both(*judges: Judge) -> Judge:
    """True where all say True, False where one says False."""

    def verdict(facts: Facts) -> Verdict:
        verdicts = [one(facts) for one in judges]
        return False if False in verdicts else None if None in verdicts else True

    return Judge(verdict, parts=judges)


def either(*judges: Judge) -> Judge:
    """True where one says True, False where all say False."""

    def verdict(facts: Facts) -> Verdict:
        verdicts = [one(facts) for one in judges]
        return True if True in verdicts else None if None in verdicts else False

    return Judge(verdict, parts=judges)


def maybe(inner: Judge) -> Judge:
    """Ruled out where the judge says False, open elsewhere."""
    return Judge(lambda facts: False if inner(facts) is False else None, parts=(inner,))


def likely(inner: Judge) -> Judge:
    """True where the judge says so, open elsewhere."""
    return Judge(lambda facts: True if inner(facts) else None, parts=(inner,))


def no(inner: Judge) -> Judge:
    """The contrary of a judge that is not combined of others."""

    def verdict(facts: Facts) -> Verdict:
        found = inner(facts)
        return None if found is None else not found

    return Judge(verdict, inner.fails, inner.holds, inner.doubt)


def surely(inner: Judge) -> Judge:
    """True where the judge says so, ruled out elsewhere: for what is named only where it was seen."""
    return Judge(lambda facts: bool(inner(facts)), parts=(inner,))


#: What kernels with a switch of the version table do, and what those without do.
_SWITCHES = {
    "vf_token": ("knows VF tokens", "knows no VF tokens"),
    "bind_errno": ("answers a bind with the probe's own errno", "answers every bind that fails with ENODEV"),
    "numvfs_overflow": ("answers a number above 65535 with EINVAL", "answers a number above 65535 with ERANGE"),
    "dma_owner": ("gives the DMA of a group one owner, from SET_CONTAINER on", "looks at the drivers in a group at GET_DEVICE_FD"),
    "iommufd_container": ("answers a file that is no container with EBADFD", "answers a file that is no container with EINVAL"),
    "cdev": ("has the cdev path", "has no cdev path"),
    "cdev_token": ("judges tokens on the cdev path", "does not look at tokens on the cdev path"),
    "cdev_token_works": ("can take a token on the cdev path", "trips over every token on the cdev path"),
    "coherency": ("demands a coherent IOMMU of every vfio function", "demands no coherent IOMMU of vfio functions at the bind"),
    "denylist": ("has a denylist in vfio-pci", "has no denylist in vfio-pci"),
}


def with_(switch: str, inner: Judge | None = None) -> Judge:
    """The judge's verdict on kernels that have a switch; ruled out on the others."""
    return both(_release(switch, has=True), *([inner] if inner else []))


def without(switch: str, inner: Judge | None = None) -> Judge:
    """The judge's verdict on kernels that lack a switch; ruled out on the others."""
    return both(_release(switch, has=False), *([inner] if inner else []))


def _release(switch: str, *, has: bool) -> Judge:
    having, lacking = (f"Linux {{kernel}} {words}." for words in _SWITCHES[switch])
    if has:
        return Judge(lambda facts: facts.has(switch), having, lacking)
    return Judge(lambda facts: not facts.has(switch), lacking, having)


# -- the simplest ----------------------------------------------------------------------------------------------------
#: The answer alone says so.
yes = Judge(lambda facts: True, "Nothing else that vfdeck knows answers {errno} at {stage}.")
#: Nothing in the facts speaks for or against it.
open_ = Judge(lambda facts: None, doubt="Nothing that vfdeck can see speaks for or against it.")
