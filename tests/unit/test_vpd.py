"""Vital Product Data: what cards say of themselves, and what they say when they are broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fabricate import Fake, build
from vfdeck.backend.evidence import Unread
from vfdeck.backend.kernel import Kernel
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.sim.scenario import load
from vfdeck.backend.sim.surroundings import Credentials
from vfdeck.backend.sim.vpd import encode
from vfdeck.backend.vpd import Vpd, meaning, parse, read_vpd

PF = "0000:03:00.0"
FIELDS = {"PN": "X710-DA2", "SN": "A1B2C3", "V0": "FW 9.20"}


def test_what_a_maker_wrote_is_read_again() -> None:
    assert parse(encode("Ethernet Adapter", FIELDS)) == Vpd("Ethernet Adapter", tuple(FIELDS.items()), True, "")


def test_the_writable_part_and_padding() -> None:
    writable = b"\x91\x0d\x00YA\x04rack" + b"RW\x03\0\0\0"
    data = encode("Card", {"PN": "P1  "})[:-1] + writable + b"\x78" + b"\xff" * 100
    assert parse(data) == Vpd("Card", (("PN", "P1"), ("YA", "rack")), True, "")


def test_a_wrong_checksum_is_told_and_none_is_not() -> None:
    data = bytearray(encode("Card", {"PN": "P1"}))
    data[4] ^= 1
    assert parse(bytes(data)).sound is False
    assert parse(b"\x90\x05\x00PN\x02P1\x78") == Vpd("", (("PN", "P1"),), None, "")


@pytest.mark.parametrize(
    ("data", "broken"),
    [
        (b"", "it is empty"),
        (b"\xff" * 8, "no tag at byte 0, but 0xff"),
        (b"\x00" * 8, "no tag at byte 0, but 0x00"),
        (b"\x82\x01", "no tag at byte 0, but 0x82"),
        (b"\x82\xff\x7fname", "32763 bytes of it are beyond what was read"),
        (b"\x90\x05\x00PN\xffP1\x78", "field PN claims 255 bytes, 2 are left"),
    ],
)
def test_where_it_leaves_the_format_is_told(data: bytes, broken: str) -> None:
    assert parse(data).broken == broken


def test_text_is_foreign_and_kept_short() -> None:
    found = parse(encode("\x1b[31m" + "x" * 300, {"P\n": "\x07", "SN": "‮1"}))
    assert all(text.isprintable() for text in (found.name, *(part for field in found.fields for part in field)))
    assert len(found.name) <= 80


def test_many_fields_do_not_flood() -> None:
    body = b"V0\x01x" * 10000
    assert len(parse(b"\x90" + len(body).to_bytes(2, "little") + body + b"\x78").fields) == 48


@given(st.binary(max_size=400))
@example(b"\x90\xff\xff" + b"V0\x00" * 100)
def test_no_bytes_can_make_it_fail(data: bytes) -> None:
    found = parse(data)
    assert all(part.isprintable() for part in (found.name, found.broken, *(text for field in found.fields for text in field)))


def test_keywords_have_words() -> None:
    assert [meaning(key) for key in ("PN", "V7", "Y3", "QQ")] == [
        "part number",
        "maker's own",
        "system's own",
        "not in the standard",
    ]


# -- through the seam ------------------------------------------------------------------------------------------------------
def machine_with(vpd: bytes | None) -> Kernel:
    host = load("default")
    host.scenario.machine.functions[PF].vpd = vpd
    return host.kernel


def test_a_card_without_it_has_none() -> None:
    assert read_vpd(machine_with(None), PF) is None


def test_a_simulated_card_says_what_the_scenario_gave_it() -> None:
    found = read_vpd(load("default").kernel, PF)
    assert isinstance(found, Vpd)
    assert found.sound
    assert dict(found.fields)["PN"]


def test_a_card_that_does_not_answer() -> None:
    host = load("default")
    host.scenario.machine.functions[PF].vpd_answers = False
    found = read_vpd(host.kernel, PF)
    assert isinstance(found, Unread)
    assert "the card gave no answer in time" in found.why


def test_only_root_reads_it() -> None:
    host = load("default")
    host.kernel.process.credentials = Credentials(uid=1000)  # type: ignore[attr-defined]
    found = read_vpd(host.kernel, PF)
    assert isinstance(found, Unread)
    assert "only root" in found.why


def test_what_sleeps_is_not_woken() -> None:
    host = load("default")
    host.scenario.machine.functions[PF].lost = True
    found = read_vpd(host.kernel, PF)
    assert isinstance(found, Unread)
    assert "sleeps in D3cold" in found.why


def test_a_copied_tree(tmp_path: Path) -> None:
    root = build(tmp_path, [Fake(PF, driver="igb")])
    kernel = LinuxKernel(str(root))
    assert read_vpd(kernel, PF) is None
    (root / f"sys/bus/pci/devices/{PF}/vpd").write_bytes(encode("Card"))
    assert read_vpd(kernel, PF) == Vpd("Card", (), True, "")


def test_no_scan_reads_it() -> None:
    """A snapshot of a host whose cards have VPD reads none of it, nor how they are reset."""
    host = load("default")
    kernel, read = host.kernel, []

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(kernel, name)

        def read(self, path: str) -> bytes:
            read.append(path)
            return kernel.read(path)

    host.kernel = Watched()
    host.snapshot()
    assert read
    assert not [path for path in read if path.endswith(("/vpd", "/reset_method")) or path.startswith("/etc/")]
