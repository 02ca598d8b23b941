"""What is said of an outcome."""

from __future__ import annotations

import errno

import pytest

from tests import values
from tests.fake_host import done, refused
from vfdeck.backend.changes import Explanation, Open, Outcome, RuledOut, SetNumvfs, SetToken, VerifyToken
from vfdeck.backend.kernel import Stage
from vfdeck.backend.token import Token
from vfdeck.widgets.report import must_be_told, report, verdict
from vfdeck.widgets.sections import plain_text
from vfdeck.widgets.state import Tone

VF = "0000:3b:10.0"


def test_a_refusal_says_all_there_is_to_know() -> None:
    assert verdict(refused(Open(VF))) == (f"Refused: EACCES at get_device_fd of {VF}", Tone.BAD)
    text = plain_text(report(refused(Open(VF))))
    for expected in (
        "errno: EACCES (13): Permission denied",
        f"stage: get_device_fd of {VF}",
        "The VF's token is required (D1)",
        "rule: the PF is on vfio-pci: its VFs open only with its token",
        "no token was given",
        "What to do\n1.: open 0000:3b:10.0 with the token",
        "How to check\n1.: readlink",
        "May be mistaken for\nmissing rights",
        "kernel: vfio-pci 0000:3b:10.0: VF token required to access device",
        "Done before that\n✓ opened /dev/vfio/21",
        "The same answer can also mean\nB3: The group node's mode",
    ):
        assert expected in text


def test_the_evidence_comes_after_what_to_do_and_what_was_ruled_out_comes_last() -> None:
    why = Explanation(
        "C8",
        "Another driver in the group",
        "A group goes to user space only whole.",
        "Group 4 also holds another function.",
        do=("Bind it to vfio-pci.",),
        evidence_for=("The group also holds 0000:04:00.1 (nvme).", "Linux 6.12 judges it here."),
        evidence_against=("vfdeck runs as root.",),
        evidence_open=("Could not check: /sys/x: EACCES.",),
    )
    out = RuledOut("C5", "No-IOMMU needs CAP_SYS_RAWIO", "0000:04:00.0 is in no no-IOMMU group.")
    text = plain_text(report(Outcome(Open(VF), errno.EPERM, Stage.SET_CONTAINER, VF, explanation=why, ruled_out=(out,))))
    do, evidence, ruled_out = (text.index(title) for title in ("What to do", "Evidence", "Ruled out"))
    assert do < evidence < ruled_out
    assert "for: The group also holds 0000:04:00.1 (nvme).\n : Linux 6.12 judges it here.\nagainst: vfdeck runs as root." in text
    assert "open: Could not check: /sys/x: EACCES." in text
    assert "C5: No-IOMMU needs CAP_SYS_RAWIO: 0000:04:00.0 is in no no-IOMMU group." in text


def test_without_evidence_there_is_no_empty_section() -> None:
    text = plain_text(report(refused(Open(VF))))
    assert "Evidence" not in text
    assert "Ruled out" not in text


def test_success_says_what_was_done() -> None:
    outcome = done(Open(VF))
    assert verdict(outcome, "open it") == ("Done: open it", Tone.GOOD)
    assert verdict(outcome) == (f"Done: {VF}", Tone.GOOD)
    assert plain_text(report(outcome)) == f"Done\n✓ opened and closed {VF}"


def test_a_waiting_call_is_neither() -> None:
    outcome = Outcome(SetNumvfs("0000:3b:00.0", 0), blocked=True)
    assert verdict(outcome) == ("Still waiting in the kernel: 0000:3b:00.0", Tone.WARN)
    assert "cannot be taken back" in plain_text(report(outcome))


def test_what_was_not_attempted_is_no_refusal() -> None:
    why = Explanation("plan", "not attempted", f"nothing to do: {VF} has no driver", "the kernel was not asked")
    outcome = Outcome(Open(VF), target=VF, explanation=why, attempted=False)
    assert verdict(outcome, "open it") == (f"Not attempted: nothing to do: {VF} has no driver", Tone.WARN)
    assert "the kernel was not asked" in plain_text(report(outcome))
    assert verdict(Outcome(Open(VF), target=VF, attempted=False)) == (f"Not attempted: {VF}", Tone.WARN)


def test_an_unknown_refusal_has_no_catalogue_number() -> None:
    why = Explanation("unknown", "No rule is known that says this", "unknown", "EXDEV was not expected here")
    text = plain_text(report(Outcome(Open(VF), errno.EXDEV, Stage.FEATURE, VF, explanation=why)))
    assert "No rule is known that says this\n" in text
    assert "(unknown)" not in text


@pytest.mark.parametrize(
    ("verified", "words"),
    [(True, "in force: confirmed"), (None, "in force: not confirmed"), (False, "in force: no: the kernel was asked")],
)
def test_whether_a_token_counts_is_told(verified: bool | None, words: str) -> None:
    for change in (SetToken(values.PF, Token.generate()), VerifyToken(VF, Token.generate())):
        assert words in plain_text(report(Outcome(change, verified=verified)))
    assert "in force" not in plain_text(report(Outcome(SetNumvfs(values.PF, 1))))


def test_who_must_be_told_of_a_new_token() -> None:
    new = Token.generate()
    vm = values.make_holder(values.VF, vm="web-1", tokens=("1a2b3c4d", new.fingerprint))
    dpdk = values.make_holder(values.PF, 77, "dpdk")
    view = values.snapshot(*values.make_fleet(2), holders=(vm, dpdk), unseen=2)
    text = plain_text(must_be_told(SetToken(values.PF, new), view))
    assert "VM web-1 (qemu-system-x86 4242) goes on; started again it needs the new token; it was started with #1a2b3c4d:" in text
    assert "dpdk (77) goes on; started again it needs the new token\n" in text
    assert "2 processes could not be looked at" in text
    assert must_be_told(SetToken(values.PF, new), values.snapshot(*values.make_fleet(2))) == []
