"""The sriov_* files of a PF: what they read, what the two that are written take, and in which order things are refused."""

from __future__ import annotations

import errno

import pytest

from tests.contract.bed import ENABLE_SRIOV, IGB, IGB_VFS, NVME, NVME_VFS, PLAIN, Bed, answer
from vfdeck.backend.kernel import errno_name
from vfdeck.backend.vfio import DEVICES

NUMVFS = f"{DEVICES}/{IGB}/sriov_numvfs"
AUTOPROBE = f"{DEVICES}/{IGB}/sriov_drivers_autoprobe"


def sriov(bed: Bed, bdf: str) -> dict[str, str]:
    """A PF's files that read."""
    names = ("totalvfs", "numvfs", "offset", "stride", "vf_device", "drivers_autoprobe")
    return {name: bed.attribute(bdf, f"sriov_{name}") for name in names}


# -- reading ---------------------------------------------------------------------------------------------------------------
def test_what_the_files_read(bed: Bed) -> None:
    igb = {"totalvfs": "8", "numvfs": "0", "offset": "128", "stride": "2", "vf_device": "10ca", "drivers_autoprobe": "1"}
    assert sriov(bed, IGB) == igb
    assert sriov(bed, NVME) == igb | {"offset": "1", "stride": "1", "vf_device": "10"}


def test_only_pfs_have_them(bed: Bed) -> None:
    for bdf in (PLAIN, "0000:05:00.0"):
        assert answer(bed.kernel.read, f"{DEVICES}/{bdf}/sriov_totalvfs") == "ENOENT"
        assert bed.numvfs(bdf, 1) == "ENOENT"


def test_vectors(tokens: Bed) -> None:
    """The files are there from 5.15; vfio-pci has no hand in them."""
    (vf,) = tokens.vfio_pf(vfs=1)
    there = tokens.has("vf_msix")
    assert ("sriov_vf_total_msix" in tokens.kernel.names(f"{DEVICES}/{IGB}")) == there
    assert ("sriov_vf_msix_count" in tokens.kernel.names(f"{DEVICES}/{vf}")) == there
    if there:
        assert tokens.attribute(IGB, "sriov_vf_total_msix") == "0"
        answers = [tokens.write(f"{DEVICES}/{vf}/sriov_vf_msix_count", text) for text in ("1", "-1", "x")]
        assert answers == [errno_name(errno.EOPNOTSUPP), "EINVAL", "EINVAL"]


def test_modes(tokens: Bed) -> None:
    """Root passes the mode's check, and the file has no store method all the same."""
    (vf,) = tokens.vfio_pf(vfs=1)
    for name in ("totalvfs", "offset", "stride", "vf_device"):
        assert tokens.write(f"{DEVICES}/{IGB}/sriov_{name}", "1") in ("EACCES", "EIO")
    assert answer(tokens.kernel.read, f"{DEVICES}/{vf}/sriov_numvfs") == "ENOENT"


@pytest.mark.parametrize(("pf", "vfs"), [(IGB, IGB_VFS), (NVME, NVME_VFS)], ids=["igb", "nvme"])
def test_addresses_and_links(tokens: Bed, pf: str, vfs: tuple[str, ...]) -> None:
    """VF i has the routing id PF + offset + stride * i; links lead both ways; identity comes from the PF."""
    assert tuple(tokens.vfio_pf(pf, 8)) == vfs
    assert tokens.virtfns(pf) == dict(enumerate(vfs))
    assert [tokens.link(vf, "physfn") for vf in vfs] == [pf] * 8
    for vf in vfs:
        assert tokens.attribute(vf, "vendor") == tokens.attribute(pf, "vendor")
        assert tokens.attribute(vf, "class") == tokens.attribute(pf, "class")
        assert int(tokens.attribute(vf, "device"), 16) == int(tokens.attribute(pf, "sriov_vf_device"), 16)
    assert len({tokens.link(vf, "iommu_group") for vf in vfs} | {tokens.link(pf, "iommu_group")}) == 9


# -- the number ------------------------------------------------------------------------------------------------------------
NUMBERS = {"4": 4, "4\n": 4, "0x4": 4, "0X4": 4, "+4": 4, "010": 8, "+0x8": 8, "00": 0, "0": 0, "+0\n": 0, "0x0": 0}
NO_NUMBERS = [
    "08",
    "-1",
    "-0",
    " 4",
    "4 ",
    "4\n\n",
    "\n",
    "four",
    "4.0",
    "4x",
    "0x",
    "1 2",
    "+",
    "++4",
    "+-4",
    "0x4g",
    "x4",
    "4\t",
    "٤",
]
TOO_BIG = ["65536", "70000", "0x10000", "4294967296", "99999999999999999999"]
BEYOND_TOTAL = ["9", "255", "65535", "0xffff"]


def test_texts_that_are_no_numbers(bed: Bed) -> None:
    """They are read before anything else is looked at: the PF has no driver."""
    assert {text: bed.write(NUMVFS, text) for text in NO_NUMBERS} == dict.fromkeys(NO_NUMBERS, "EINVAL")
    overflow = "EINVAL" if bed.has("numvfs_overflow") else "ERANGE"
    assert {text: bed.write(NUMVFS, text) for text in TOO_BIG} == dict.fromkeys(TOO_BIG, overflow)
    assert {text: bed.write(NUMVFS, text) for text in BEYOND_TOTAL} == dict.fromkeys(BEYOND_TOTAL, "ERANGE")


def test_texts_that_are_numbers(tokens: Bed) -> None:
    assert tokens.bind(NVME) == "OK"
    for text, number in NUMBERS.items():
        assert tokens.write(f"{DEVICES}/{NVME}/sriov_numvfs", text) == "OK", text
        assert len(tokens.virtfns(NVME)) == number, text
        assert tokens.attribute(NVME, "sriov_numvfs") == str(number)
        if number:
            assert tokens.numvfs(NVME, 0) == "OK"


def test_row_1_nothing_written(bed: Bed) -> None:
    assert bed.write(NUMVFS, "") == "OK"
    assert bed.virtfns(IGB) == {}


def test_row_5_the_same_number_needs_no_driver(bed: Bed) -> None:
    assert bed.driver(IGB) is None
    assert bed.numvfs(IGB, 0) == "OK"


def test_row_6_no_driver(bed: Bed) -> None:
    bed.take_log()
    assert bed.numvfs(IGB, 1) == "ENOENT"
    text = "no driver bound to device; cannot configure SR-IOV"
    text = text if bed.has("numvfs_texts") else "Driver does not support SRIOV configuration via sysfs"
    assert f"pci {IGB}: {text}" in bed.take_log()


def test_row_7_a_driver_without_hook(bed: Bed) -> None:
    bed.load("pci-stub")
    assert bed.bind(IGB, "pci-stub") == "OK"
    bed.take_log()
    assert bed.numvfs(IGB, 1) == "ENOENT"
    text = "driver does not support" if bed.has("numvfs_texts") else "Driver does not support"
    sr_iov = "SR-IOV" if bed.has("numvfs_texts") else "SRIOV"
    assert f"pci-stub {IGB}: {text} {sr_iov} configuration via sysfs" in bed.take_log()


def test_vfio_has_a_hook_from_5_7(bed: Bed) -> None:
    assert bed.bind(IGB) == "OK"
    bed.take_log()
    with_tokens = bed.has("vf_token")
    assert bed.numvfs(IGB, 2) == ("OK" if with_tokens else "ENOENT")
    assert any("SRIOV configuration" in line for line in bed.take_log()) != with_tokens


def test_rows_8_and_9_vfs_there_already(tokens: Bed) -> None:
    tokens.vfio_pf(vfs=2)
    tokens.take_log()
    assert tokens.numvfs(IGB, 2) == "OK"
    assert tokens.numvfs(IGB, 4) == "EBUSY"
    assert f"vfio-pci {IGB}: 2 VFs already enabled. Disable before enabling 4 VFs" in tokens.take_log()
    assert tokens.numvfs(IGB, 9) == "ERANGE"
    assert len(tokens.virtfns(IGB)) == 2
    assert tokens.numvfs(IGB, 0) == "OK"
    assert tokens.virtfns(IGB) == {}
    assert not any(tokens.exists(bdf) for bdf in IGB_VFS)
    assert tokens.numvfs(IGB, 4) == "OK"
    assert len(tokens.virtfns(IGB)) == 4


def test_an_open_pf_does_not_prevent_vfs(tokens: Bed) -> None:
    from tests.contract.bed import U1, open_device

    assert tokens.bind(IGB) == "OK"
    open_device(tokens.program("holder"), IGB, U1)
    assert tokens.numvfs(IGB, 1) == "OK"
    assert tokens.numvfs(IGB, 0) == "OK"


# -- vfio-pci's switch -----------------------------------------------------------------------------------------------------
def test_enable_sriov_off(tokens: Bed) -> None:
    """ENOENT for enabling and disabling alike, and no line in the log; the same number is OK before that."""
    tokens.vfio_pf(vfs=1)
    tokens.must(ENABLE_SRIOV, "N")
    tokens.take_log()
    assert [tokens.numvfs(IGB, count) for count in (0, 1)] == ["ENOENT", "OK"]
    assert tokens.bind(NVME) == "OK"
    assert [tokens.numvfs(NVME, count) for count in (1, 9, 0)] == ["ENOENT", "ERANGE", "OK"]
    assert [line for line in tokens.take_log() if "SR-IOV" in line or "SRIOV" in line] == []
    tokens.must(ENABLE_SRIOV, "Y")
    assert tokens.numvfs(IGB, 0) == "OK"


def test_enable_sriov_off_does_not_keep_the_vfs_at_unbind(tokens: Bed) -> None:
    tokens.vfio_pf(vfs=1)
    tokens.must(ENABLE_SRIOV, "N")
    assert tokens.unbind(IGB) == "OK"
    assert tokens.virtfns(IGB) == {}
    assert not tokens.exists(IGB_VFS[0])


def test_the_parameter_is_live(tokens: Bed) -> None:
    assert tokens.read(ENABLE_SRIOV) == "Y"
    for text, value in (("0", "N"), ("y", "Y"), ("n\n", "N"), ("1\n", "Y"), ("off", "N"), ("on", "Y")):
        assert tokens.write(ENABLE_SRIOV, text) == "OK"
        assert tokens.read(ENABLE_SRIOV) == value
    assert tokens.write(ENABLE_SRIOV, "maybe") == "EINVAL"
    assert tokens.read(ENABLE_SRIOV) == "Y"


def test_there_is_no_parameter_without_tokens(bed: Bed) -> None:
    if not bed.has("vf_token"):
        assert answer(bed.kernel.read, ENABLE_SRIOV) == "ENOENT"


# -- autoprobe -------------------------------------------------------------------------------------------------------------
def test_autoprobe_texts(bed: Bed) -> None:
    """The first character decides, for `o` the second one; what else is a truth value depends on the release."""
    texts = {True: ["1", "y", "Y", "yes", "on", "oN", "1x", "10"], False: ["0", "n", "N", "no", "off", "of", "OFF", "0x1"]}
    extra = {"bool_tf": {True: ["t", "True"], False: ["f", "FALSE"]}, "bool_ed": {True: ["e", "Enable"], False: ["d", "Disabled"]}}
    broken = ["", "2", "-1", "x", "o", "oo", " 1", "\n"]
    for switch, more in extra.items():
        for value, words in more.items():
            if bed.has(switch):
                texts[value] = texts[value] + words
            else:
                broken += words
    for value, words in texts.items():
        for word in words:
            bed.must(AUTOPROBE, "0" if value else "1")
            assert (word, bed.write(AUTOPROBE, word), bed.read(AUTOPROBE)) == (word, "OK", str(int(value)))
    bed.must(AUTOPROBE, "1")
    for word in broken:
        assert (word, bed.write(AUTOPROBE, word)) == (word, "OK" if word == "" else "EINVAL")
    assert bed.read(AUTOPROBE) == "1"
