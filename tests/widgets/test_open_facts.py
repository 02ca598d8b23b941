"""What the Open panel says: foretold, under way, and over."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from tests import values
from tests.widgets import hostile
from vfdeck.backend.changes import Open, OpenPath, Outcome
from vfdeck.backend.details import Details
from vfdeck.backend.evidence import Unread
from vfdeck.backend.kernel import Stage
from vfdeck.backend.model import Job, JobState, Snapshot, TokenState
from vfdeck.backend.predict.seen import Seen
from vfdeck.widgets.open_facts import open_sections
from vfdeck.widgets.sections import plain_text

PF, VF = values.PF, values.VF
SET = values.make_knowledge(state=TokenState.SET, fingerprint="1a2b3c4d")
FLEET = values.snapshot(*values.make_fleet(1), tokens=[SET])


def text(attempt: Open | Outcome | None = None, view: Snapshot = FLEET, bdf: str = VF, details: Details | None = None) -> str:
    return plain_text(open_sections(view.functions[bdf], view, details, attempt))


def test_a_guarded_vf_stops_at_the_last_rung_and_why() -> None:
    said = text()
    assert "Now, by its group, without a token" in said
    assert "○ find its IOMMU group (20)" in said
    assert "○ open the group's node /dev/vfio/20" in said
    assert "✗ get the device from the group, which judges a token: would be refused" in said
    assert "with the PF's token this rung would let it pass" in said
    for title in ("(D1)", "What to do", "How to check"):
        assert title in said


def test_what_lets_everybody_in_is_told_too() -> None:
    said = text(view=values.snapshot(*values.make_fleet(1, driver="igb")))
    assert "expected: it opens" in said
    assert "✗" not in said
    assert "What to do" not in said


def test_both_paths() -> None:
    view = values.snapshot(*values.make_fleet(1, vf={"cdev": "vfio3"}), tokens=[SET], host={"kernel": "6.18.5", "cdev": True})
    said = text(view=view)
    assert "Now, by its own node (cdev), without a token" in said
    assert "/dev/vfio/devices/vfio3" in said
    assert "✗ bind it to the iommufd, which judges a token: would be refused" in said
    assert said.count("with the PF's token this rung would let it pass") == said.count("What to do") == 2
    assert said.index("✗ bind") < said.index("What to do")


def test_a_rung_that_judges_no_token_says_so() -> None:
    view = values.snapshot(*values.make_fleet(1, vf={"cdev": "vfio3"}), host={"kernel": "6.12.107", "cdev": True})
    said = text(view=view)
    assert "get the device from the group, which judges a token" in said
    assert "○ bind it to the iommufd, which knows no tokens on this kernel" in said


def test_why_there_is_no_own_node() -> None:
    assert "Linux 5.10.0 has no such nodes" in text(view=values.snapshot(*values.make_fleet(1), host={"kernel": "5.10.0"}))
    assert "built without them" in text(view=values.snapshot(*values.make_fleet(1), host={"kernel": "6.12.107"}))


def test_what_was_looked_at_counts() -> None:
    assert "still being looked at" in text()
    seen = Details(VF, by_group=Seen(beside=Unread("/dev/vfio/vfio: ENOENT")))
    said = text(details=seen)
    assert "✗ open /dev/vfio/vfio for a container: would be refused" in said
    assert "– tie the group" in said
    assert "still being looked at" not in said


def test_an_attempt_under_way() -> None:
    said = text(Open(VF))
    assert "Being opened by its group" in said
    assert "– find its IOMMU group" in said
    job = Job(1, "open", VF, JobState.RUNNING, "", values.NOON, stage=Stage.OPEN_CONTAINER)
    said = text(Open(VF), dataclasses.replace(FLEET, jobs=(job,)))
    assert "✓ open the group's node" in said
    assert "… open /dev/vfio/vfio for a container: the kernel is being asked" in said
    assert "– tie the group" in said
    assert "Being opened" not in text(Open(PF))


def test_an_attempt_that_was_refused_comes_first_with_its_explanation() -> None:
    from tests.fake_host import refused

    said = text(refused(Open(VF)))
    assert said.startswith("The last attempt, by its group, without a token\nrefused: EACCES at get_device_fd\n✓ find")
    assert "✗ get the device from the group, which judges a token: refused" in said
    assert "still be refused for the same reason" in said


def test_an_attempt_that_came_through() -> None:
    said = text(Outcome(Open(VF, values.TOKEN, path=OpenPath.GROUP)))
    assert said.startswith("The last attempt, by its group, with a token\nit opened\n✓ find")
    assert values.TOKEN.reveal_text() not in said


@pytest.mark.parametrize("foreign", hostile.TEXTS)
def test_foreign_text_is_shown_as_it_is(foreign: str) -> None:
    view = hostile.fleet(foreign)
    said = text(hostile.outcome(Open(VF), foreign), view)
    assert foreign in said
    assert text(Outcome(Open(VF), errno.EACCES, Stage.OPEN_GROUP, foreign), view)
