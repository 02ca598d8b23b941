"""What the Device panel says beyond the overview."""

from __future__ import annotations

import pytest

from tests import values
from tests.widgets.hostile import TEXTS
from vfdeck.backend.checks import Verdict
from vfdeck.backend.details import Details, NoVpd
from vfdeck.backend.evidence import Unread
from vfdeck.backend.lasting import Answer, Lasting
from vfdeck.backend.model import Snapshot
from vfdeck.backend.vpd import Vpd
from vfdeck.widgets.device_facts import device_sections
from vfdeck.widgets.sections import plain_text

PF, VF = values.PF, values.VF
FLEET = values.snapshot(*values.make_fleet(1))


def text(details: Details | None, view: Snapshot = FLEET, bdf: str = PF) -> str:
    return plain_text(s for s in device_sections(view.functions[bdf], view, details) if s.facts)


def test_what_was_not_looked_up_is_not_told() -> None:
    assert text(None) == ""
    assert text(Details(PF)).count("looking…") == 2
    assert "asking the card…" in text(Details(PF))


def test_the_card_in_its_own_words() -> None:
    said = text(Details(PF, vpd=Vpd("X710", (("PN", "H58362"), ("SN", "3CFD"), ("V0", "FW 9"), ("QQ", "")), True)))
    for expected in ("X710", "part: H58362", "serial: 3CFD", "V0: FW 9 (maker's own)", "QQ:  (not in the standard)"):
        assert expected in said
    assert "checksum" not in said


@pytest.mark.parametrize(
    ("vpd", "said"),
    [
        (NoVpd.NONE, "nothing: it has no VPD"),
        (Unread("/sys/x/vpd: ETIMEDOUT"), "could not read: /sys/x/vpd: ETIMEDOUT"),
        (Vpd("X", (), False), "its checksum is wrong"),
        (Vpd("", (), None, "it is empty"), "it does not follow the format: it is empty"),
        (Vpd(), "nothing a person could read"),
    ],
)
def test_a_card_that_says_little(vpd: Vpd | Unread | NoVpd, said: str) -> None:
    assert said in text(Details(PF, vpd=vpd))


def test_a_vf_without_vpd_is_as_usual() -> None:
    assert "VPD" not in text(Details(VF, vpd=NoVpd.NONE), bdf=VF)


def test_resets_in_their_order() -> None:
    assert "1. flr: function alone\n2. bus: with its whole bus" in text(Details(PF, resets=("flr", "bus")))
    assert "none: the kernel cannot reset it" in text(Details(PF, resets=()))
    assert "not told: reset_method: ENOENT" in text(Details(PF, resets=Unread("reset_method: ENOENT")))
    assert "1. magic: unknown to vfdeck" in text(Details(PF, resets=("magic",)))


def test_what_a_restart_leaves() -> None:
    token = Answer(Verdict.NO, ("never",))
    vfs = Answer(Verdict.YES, ("/etc/rc.local names it", "and 3 files more"))
    driver = Answer(Verdict.UNKNOWN, ("could not look: /etc: ENOENT",))
    said = text(Details(PF, lasting=Lasting(token, vfs, driver)))
    assert "token: gone: never" in said
    assert "VFs: comes back: /etc/rc.local names it\n : and 3 files more" in said
    assert "driver: not known: could not look: /etc: ENOENT" in said
    assert "nothing" not in said
    assert "could go" in text(Details(PF, lasting=Lasting(None, None, None)))


def test_the_others_in_the_group() -> None:
    mine = values.make_plain("0000:04:00.0", iommu_group=7)
    others = [values.make_plain(f"0000:04:00.{n}", iommu_group=7, driver="igb" if n == 1 else "vfio-pci") for n in (1, 2)]
    view = values.snapshot(mine, *others, holders=(values.make_holder("0000:04:00.2"),))
    said = text(None, view, mine.bdf)
    assert "0000:04:00.1 plain" in said
    assert "on igb: keeps the group from vfio" in said
    assert "on vfio-pci, held by qemu-system-x86 (4242)" in said


def test_a_large_group_is_cut() -> None:
    many = [values.make_plain(f"0000:04:{n:02x}.0", iommu_group=7) for n in range(12)]
    assert "and 3 more" in text(None, values.snapshot(*many), many[0].bdf)


@pytest.mark.parametrize("foreign", TEXTS)
def test_foreign_text_is_shown_as_it_is(foreign: str) -> None:
    answer = Answer(Verdict.YES, (foreign,))
    found = Details(PF, (foreign,), Lasting(answer, answer, answer), vpd=Vpd(foreign, ((foreign, foreign),), False, foreign))
    assert text(found).count(foreign) >= 6
