"""Looking names up in a PCI ID database."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfdeck.backend import pci_ids

DATABASE = b"""#
# 8086  not a vendor but a remark
0e11  Compaq Computer Corporation
\t0001  PCI to EISA Bridge
8086  Intel Corporation
# a remark in between
\t10c9  82576 Gigabit Network Connection
\t\t8086 a03c  Gigabit ET Dual Port Server Adapter
\t10ca  82576 Virtual Function

8088  Beijing Wangxun Technology Co., Ltd.
\t0103  WX1860AL-W1
C 02  Network controller
\t00  Ethernet controller
"""


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ((0x8086, 0x10C9), ("Intel Corporation", "82576 Gigabit Network Connection")),
        ((0x8086, 0x10CA), ("Intel Corporation", "82576 Virtual Function")),
        ((0x8086, 0xA03C), ("Intel Corporation", "")),
        ((0x8086, 0x0103), ("Intel Corporation", "")),
        ((0x8088, 0x0103), ("Beijing Wangxun Technology Co., Ltd.", "WX1860AL-W1")),
        ((0x0E11, 0x0001), ("Compaq Computer Corporation", "PCI to EISA Bridge")),
        ((0x1234, 0x0001), ("", "")),
        ((0x10CA, 0x0001), ("", "")),
    ],
)
def test_search(ids: pci_ids.Ids, names: pci_ids.Names) -> None:
    assert pci_ids.search(DATABASE, [ids]) == {ids: names}


@pytest.mark.parametrize("database", [b"", b"\n", b"8086", b"8086  ", DATABASE.replace(b"\n", b"\r\n")[:-3], b"\xff" * 1000])
def test_odd_databases(database: bytes) -> None:
    names = pci_ids.search(database, [(0x8086, 0x10C9), (0x8086, 0x10CA)])
    assert all(part.isprintable() for pair in names.values() for part in pair)


def test_foreign_text_is_made_printable_and_short() -> None:
    names = pci_ids.search(b"8086  In\x1b[31mtel\n\t10c9  [red]" + b"N" * 10_000 + b"\n", [(0x8086, 0x10C9)])
    vendor, device = names[0x8086, 0x10C9]
    assert vendor == "In␛[31mtel"
    assert device.startswith("[red]NNN")
    assert len(device) == 200


def test_lookup_reads_the_first_file_that_is_there_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "pci.ids"
    place.write_bytes(DATABASE)
    monkeypatch.setattr(pci_ids, "PLACES", (str(tmp_path / "absent"), str(place)))
    monkeypatch.setattr(pci_ids, "_known", {})
    assert pci_ids.lookup([(0x8086, 0x10CA)])[0x8086, 0x10CA][1] == "82576 Virtual Function"
    place.unlink()
    assert pci_ids.lookup([(0x8086, 0x10CA)])[0x8086, 0x10CA][1] == "82576 Virtual Function"
    assert pci_ids.lookup([(0x8088, 0x0103)])[0x8088, 0x0103] == ("", ""), "no file: no names"
