"""The language of filters."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import values
from tests.fake_host import NIC, NVME, PLAIN, small_fleet
from tests.widgets.hostile import TEXTS, fleet
from vfdeck.backend.model import Job, JobState, Link, Snapshot, TokenState
from vfdeck.widgets.filtering import KEYS, FilterFault, completed, completions, parse
from vfdeck.widgets.state import Index

VFS = [values.vf_address(NIC, n) for n in range(4)]
SMALL = small_fleet()


def meant(text: str, view: Snapshot = SMALL) -> set[str]:
    """The functions that a filter keeps."""
    test, index = parse(text).test, Index(view)
    return {bdf for bdf, function in view.functions.items() if test(function, index)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set(SMALL.functions)),
        ("role:vf", set(VFS)),
        ("role:pf", {NIC, NVME}),
        ("-role:vf -role:plain", {NIC, NVME}),
        ("role:PF,plain driver:nvme,igb", {NVME, "0000:5e:00.1"}),
        ("held:yes", {VFS[1]}),
        ("role:vf held:no", {VFS[0], VFS[2], VFS[3]}),
        ("held:unknown", set()),
        ("driver:vfio", set()),
        ("driver:vfio*", {NIC, *VFS, PLAIN}),
        ("driver:none", set()),
        ("token:unknown", {NIC, *VFS}),
        ("token:needed", set(VFS)),
        ("token:none", {NVME, PLAIN, "0000:5e:00.1"}),
        ("state:group", {PLAIN}),
        ("state:g", {PLAIN}),
        ("state:in-use", {VFS[1]}),
        ("users:1", {NIC}),
        ("users:>0", {NIC}),
        ("users:<1", {NVME}),
        ("vfs:>3", {NIC}),
        ("numa:1", {NVME}),
        ("group:40", {PLAIN, "0000:5e:00.1"}),
        ("name:samsung", {NVME}),
        ("name:eno2", {"0000:5e:00.1"}),
        ("holder:qemu", {VFS[1]}),
        ("holder:4242", {VFS[1]}),
        ("pf:3b:00", set(VFS)),
        ("address:81:00", {NVME}),
        ("host:fake role:pf", {NIC, NVME}),
        ("host:other", set()),
        ("3b:00.0", {NIC}),
        ("0000:3b:00.0", {NIC}),
        ("X710", {NIC}),
        ("qemu", {VFS[1]}),
        ("-qemu role:vf", {VFS[0], VFS[2], VFS[3]}),
        ("vfio-pci x710", {NIC}),
        ("[red]", set()),
        ("-", set(SMALL.functions)),
    ],
)
def test_what_is_meant(text: str, expected: set[str]) -> None:
    assert meant(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drivr:igb", "no key drivr (did you mean driver?): there is address, driver,"),
        ("held:maybe", "held is never maybe: one of yes, no, unknown"),
        ("role:", "role: what? one of pf, vf, plain"),
        ("driver:", "driver: what? the driver it is on"),
        ("state:asleep", "state is never asleep"),
        ("token:lost", "token is never lost"),
        ("role:vf,pd", "role is never pd"),
    ],
)
def test_what_is_no_filter_is_said_in_one_line(text: str, words: str) -> None:
    with pytest.raises(FilterFault) as fault:
        parse(text)
    assert words in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(("text", "expected"), [("degraded", {NVME}), ("full", {NIC}), ("unknown", {PLAIN})])
def test_links_and_kernels(text: str, expected: set[str]) -> None:
    full = Link("16.0 GT/s PCIe", 16, "16.0 GT/s PCIe", 16)
    links = {NIC: full, NVME: dataclasses.replace(full, width=8), PLAIN: None}
    functions = {bdf: dataclasses.replace(SMALL.functions[bdf], link=link) for bdf, link in links.items()}
    view = dataclasses.replace(SMALL, functions=functions)
    assert meant(f"link:{text}", view) == expected
    assert meant(f"kernel:{view.host.kernel[:3]}", view) == set(links)
    assert meant("kernel:2.4", view) == set()


def test_could_not_check_is_never_no() -> None:
    view = dataclasses.replace(SMALL, unseen=2)
    assert meant("role:vf held:no", view) == set()
    assert meant("role:vf held:unknown", view) == set(VFS) - {VFS[1]}
    assert meant("users:1", view) == set()
    assert meant("users:>0", view) == {NIC}
    assert meant("users:<5", view) == set()


def test_a_vf_shows_the_token_of_its_pf() -> None:
    view = dataclasses.replace(SMALL, tokens={NIC: values.make_knowledge(NIC, TokenState.UNSET)})
    assert meant("token:unset role:vf", view) == set(VFS)
    view = dataclasses.replace(SMALL, tokens={NIC: values.make_knowledge(NIC, TokenState.SET, "1a2b3c4d")})
    assert meant("token:#1a2b3c4d", view) == {NIC, *VFS}
    assert meant("token:unset", view) == set()


def test_waiting_and_busy() -> None:
    job = Job(1, "x", VFS[0], JobState.RUNNING, "", 0.0, "qemu")
    other = Job(2, "x", VFS[2], JobState.RUNNING, "", 0.0)
    view = dataclasses.replace(SMALL, jobs=(job, other))
    assert meant("state:waiting", view) == {VFS[0]}
    assert meant("state:busy", view) == {VFS[2]}


@given(st.text(max_size=30))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    try:
        query = parse(text)
    except FilterFault:
        return
    for function in SMALL.functions.values():
        query.test(function, Index(SMALL))


@given(st.lists(st.sampled_from(["role:vf", "held:no", "vfio", "-qemu", "users:>0", "3b"]), max_size=4))
def test_words_are_all_asked_for(words: list[str]) -> None:
    together = set(SMALL.functions)
    for word in words:
        together &= meant(word)
    assert meant(" ".join(words)) == together


@pytest.mark.parametrize("text", TEXTS)
def test_foreign_text_is_found_as_it_is(text: str) -> None:
    view = fleet(text)
    for word in text.split():
        if ":" not in word and not word.startswith("-"):
            assert values.vf_address() in meant(word, view)


def test_completions() -> None:
    views = [SMALL]
    assert completions("", views)[:2] == ["address:", "driver:"]
    assert completions("dr", views) == ["driver:"]
    assert completions("role:vf -h", views) == ["-held:", "-holder:", "-host:"]
    assert completions("held:", views) == ["held:yes", "held:no", "held:unknown"]
    assert completions("driver:v", views) == ["driver:vfio-pci"]
    assert completions("driver:igb,n", views) == ["driver:igb,nvme"]
    assert completions("group:", views)[:3] == ["group:10", "group:20", "group:21"]
    assert completions("nonsense:", views) == []
    assert completions("driver:igb", views) == []
    assert completed("role:vf dr", "driver:") == "role:vf driver:"
    assert completed("role:v", "role:vf") == "role:vf "


@given(st.text(st.characters(codec="ascii"), max_size=12))
def test_every_completion_leads_on(text: str) -> None:
    begun = "" if text[-1:].isspace() else "".join(text.split()[-1:]).lower()
    for offer in completions(text, [SMALL]):
        assert offer.startswith(begun)
        if not offer.endswith(":"):
            parse(offer)


def test_every_key_is_told_of() -> None:
    assert all(KEYS.values())
