"""What is said of an outcome."""

from __future__ import annotations

import errno

from tests.fake_host import done, refused
from vfdeck.backend.changes import Explanation, Open, Outcome, RuledOut, SetNumvfs
from vfdeck.backend.kernel import Stage
from vfdeck.widgets.report import report, verdict
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
