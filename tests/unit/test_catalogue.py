"""The catalogue's schema: every entry complete, ids unique, placeholders known, and all that the survey lists is there."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from vfdeck.app.cli import parser
from vfdeck.app.dashboard.actions import BY_ID
from vfdeck.backend import catalogue
from vfdeck.backend.catalogue import Entry, entries, entry, fill, placeholders
from vfdeck.backend.causes import entry_ids
from vfdeck.backend.kernel import Stage, errno_name
from vfdeck.backend.wording import WORDS

#: The survey's entries by chapter; ours may be more, never fewer, since ids never change.
SURVEY = {"A": 28, "B": 22, "C": 19, "D": 22, "E": 7, "F": 6, "G": 10}

ALL = [*entries(), entry("unknown")]


def texts(e: Entry) -> list[str]:
    """All texts that are filled with facts."""
    return [e.title, e.rule, e.why, *e.logs, *e.check, *e.do]


def test_every_entry_of_the_survey_is_there() -> None:
    ids = [e.id for e in entries()]
    assert len(ids) == len(set(ids))
    missing = {f"{chapter}{number}" for chapter, last in SURVEY.items() for number in range(1, last + 1)} - set(ids)
    assert not missing


def test_entries_come_by_chapter_and_number() -> None:
    ids = [(e.id[0], int(e.id[1:])) for e in entries()]
    assert ids == sorted(ids)


@pytest.mark.parametrize("e", ALL, ids=lambda e: e.id)
class TestSchema:
    def test_fields_are_complete(self, e: Entry) -> None:
        for name in ("title", "rule", "why", "kernels"):
            assert isinstance(getattr(e, name), str)
            assert getattr(e, name).strip(), name
        for name in ("check", "do", "sources"):
            assert getattr(e, name), name
            assert all(isinstance(text, str) and text.strip() for text in getattr(e, name)), name

    def test_types_are_those_declared(self, e: Entry) -> None:
        for field in dataclasses.fields(e):
            wanted = tuple if str(field.type).startswith("tuple") else str
            assert isinstance(getattr(e, field.name), wanted), field.name

    def test_stages_and_errnos_exist(self, e: Entry) -> None:
        assert set(e.stages) <= {stage.value for stage in Stage}
        assert set(e.errnos) <= {*map(errno_name, errno.errorcode), "OK", "BLOCKED"}

    def test_placeholders_are_known(self, e: Entry) -> None:
        for text in texts(e):
            assert placeholders(text) <= catalogue.PLACEHOLDERS.keys(), text

    def test_it_reads_without_facts(self, e: Entry) -> None:
        for text in texts(e):
            assert "{" not in fill(text, {})

    def test_what_is_not_filled_has_no_braces(self, e: Entry) -> None:
        assert not any(mark in text for text in (e.mistaken_for, e.kernels, e.correction, *e.sources) for mark in "{}")

    def test_other_wordings_come_after_a_first(self, e: Entry) -> None:
        assert all(text.strip() for text in e.other_logs)
        assert e.log or not e.other_logs
        assert len(set(e.logs)) == len(e.logs)

    def test_it_names_nothing_that_its_reader_has_not(self, e: Entry) -> None:
        """No papers of ours, no program or record that vfdeck does not have."""
        for text in (*texts(e), e.mistaken_for, e.kernels, e.correction, *e.sources):
            for name in ("kernel-semantics", "field catalogue", "host's agent", "vfdeck's journal"):
                assert name not in text.lower(), text

    def test_what_vfdeck_can_do_is_an_action(self, e: Entry) -> None:
        for name in e.actions:
            assert BY_ID[name].change or BY_ID[name].dialog, name
        assert len(set(e.actions)) == len(e.actions)

    def test_commands_of_vfdeck_are_understood(self, e: Entry) -> None:
        """What stands there to be typed can be typed."""
        words = dict.fromkeys(catalogue.PLACEHOLDERS, "0000:03:00.0") | {"count": "4", "errno": "EACCES", "stage": "get_device_fd"}
        for text in (*e.check, *e.do):
            if text.startswith("vfdeck "):
                parser().parse_args(fill(text, words).split(" (")[0].split()[1:])
            assert "vfdeck's facts panel" not in text  # words of the dashboard mean nothing on a command line

    def test_it_names_no_other_entry_that_is_missing(self, e: Entry) -> None:
        import re

        ids = {e.id for e in entries()}
        for text in (*texts(e), e.mistaken_for, e.kernels, e.correction):
            for name in re.findall(r"\b[A-G]\d{1,2}\b", text):
                assert name in ids, name


def test_every_id_that_the_rules_can_name_exists() -> None:
    for name in entry_ids():
        assert entry(name).id == name


def test_every_placeholder_has_a_word() -> None:
    assert WORDS.keys() == catalogue.PLACEHOLDERS.keys()


def test_an_unknown_id_is_a_key_error() -> None:
    for name in ("Z1", "D99", "", "*", "../a"):
        with pytest.raises(KeyError):
            entry(name)


def test_log_lines_are_recognised_with_anything_in_the_placeholders() -> None:
    assert entry("A5").logged("igb 0000:03:00.0: 4 VFs already enabled. Disable before enabling 8 VFs")
    assert not entry("A5").logged("igb 0000:03:00.0: something else")
    assert entry("D1").logged("vfio-pci 0000:03:10.0: VF token required to access device")
    assert not entry("A3").logged("any line")


@pytest.mark.parametrize(
    ("name", "line", "logged"),
    [
        ("D1", "vfio-pci 0000:03:10.0: VF token required to access device", True),
        ("D1", "vfio-pci 0000:03:10.0: Incorrect VF token provided for device", False),
        ("D6", "vfio-pci 0000:03:00.0: VF token required to access device", True),
        ("D6", "vfio-pci 0000:03:00.0: Incorrect VF token provided for device", True),
        ("E6", "vfio-pci 0000:03:10.0: VF token required to access device", True),
        ("E6", "vfio-pci 0000:03:10.0: Incorrect VF token provided for device", True),
        ("E6", "vfio-pci 0000:03:10.0: VF token incorrectly provided, not a PF or VF", False),
        ("A7", "vfio-pci 0000:03:00.0: driver does not support SR-IOV configuration via sysfs", True),
        ("A7", "vfio-pci 0000:03:00.0: Driver does not support SRIOV configuration via sysfs", True),
        ("G1", 'vfio-pci 0000:03:10.0: Device is currently in use, task "sh" (9) blocked until device is released', True),
        ("G1", "vfio-pci 0000:03:10.0: No device request channel registered, blocked until released by user", True),
        ("B5", "vfio-pci: probe of 0000:03:00.0 failed with error -22", True),
        ("A1", "", False),
    ],
)
def test_every_wording_of_a_refusal_is_recognised(name: str, line: str, logged: bool) -> None:
    assert entry(name).logged(line) is logged


def test_fill_puts_unknown_words_in_brackets() -> None:
    assert fill("{bdf} is a VF of {pf}", {"pf": "0000:03:00.0"}) == "<bdf> is a VF of 0000:03:00.0"
