"""The dashboard on a real kernel, in a real terminal: from the keys that are pressed to what stands on the screen.

The screens are kept as artefacts, to be looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.differential import reset
from tests.kernel.neighbour import neighbour
from tests.kernel.terminal import Terminal, terminal
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.token import Token

PF, VF, HELD = "0000:01:00.0", "0000:01:10.0", "0000:01:10.2"
TOKEN = Token.parse("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3")

has_cdev = pytest.mark.skipif(not Path("/dev/iommu").exists(), reason="this kernel has no IOMMUFD")


@pytest.fixture
def deck(tmp_path: Path) -> Iterator[Terminal]:
    """The dashboard of this machine, its hardware as it was found."""
    reset(LinuxKernel())
    with terminal([sys.executable, "-m", "vfdeck"], tmp_path) as opened:
        opened.wait("3 PFs", PF, "q Quit")
        yield opened
    reset(LinuxKernel())


def confirm(deck: Terminal, *expected: str, key: str = "y") -> None:
    """Confirms the plan on the screen."""
    deck.wait("Do it", *expected)
    deck.press(key)


def bind(deck: Terminal) -> None:
    """Binds the selected PF to vfio-pci."""
    deck.press("b")
    deck.wait(f"Bind {PF} to a driver", "(•) vfio-pci")
    deck.press("Enter")
    confirm(deck, "/sys/bus/pci/drivers/vfio-pci/bind")
    deck.wait("✓ Done", gone=["Do it"])


def numvfs(deck: Terminal, count: int) -> None:
    """Asks for VFs, up to the plan."""
    deck.press("v")
    deck.wait(f"Set the number of VFs of {PF}")
    deck.press(str(count))
    deck.press("Enter")
    deck.wait("Do it")


def set_token(deck: Terminal, token: Token) -> None:
    """Sets a token by pasting it."""
    deck.press("t")
    deck.wait(f"Set the VF token of {PF}")
    deck.paste(token.reveal_text())
    deck.wait(f"#{token.fingerprint}")
    deck.press("Enter")
    confirm(deck, f"token #{token.fingerprint}")
    deck.wait("✓ Done", gone=["Do it"])


def attempt(deck: Terminal, bdf: str, *keys: str, token: str = "", shows: str = "") -> None:
    """Attempts to open the selected function; `token` begins the choice of a token, `keys` are for what comes after it."""
    deck.press("o")
    deck.wait(f"Attempt to open {bdf}")
    pick(deck, token)
    for key in keys:
        deck.press(key)
    deck.wait(shows)
    deck.press("Enter")
    confirm(deck)


def pick(deck: Terminal, option: str) -> None:
    """Goes to a choice of a token, wherever the arrows begin; the field of another one takes the focus."""
    while f"(•) {option}" not in (screen := deck.screen):
        before = [line for line in screen.splitlines() if "(•)" in line]
        deck.press(*["BTab"] * ("(•) another one" in screen), "Up")
        deck.until(lambda screen, before=before: [line for line in screen.splitlines() if "(•)" in line] != before)


def test_from_binding_to_removal(deck: Terminal) -> None:
    deck.keep("started")
    bind(deck)
    numvfs(deck, 2)
    confirm(deck, f"/sys/bus/pci/devices/{PF}/sriov_numvfs")
    deck.wait("2/8", VF, HELD, gone=["Do it"])
    deck.keep("bound-and-enabled")
    set_token(deck, TOKEN)
    deck.wait(f"#{TOKEN.fingerprint}", "✓ Done", gone=[TOKEN.reveal_text()])
    deck.keep("token-set")

    deck.press("Down")
    deck.wait(f"VF 0 {VF}")
    attempt(deck, VF, token="none")
    deck.wait("EACCES at get_device_fd", "(D1)", "What to do")
    deck.keep("refused")
    deck.press("Escape")
    deck.wait("✗ Refused: EACCES", "q Quit")
    attempt(deck, VF, "Tab", "Tab", "Space", shows="[x] hold it open")
    deck.wait("✓ Done", "1 in use", gone=["Do it"])
    deck.keep("held-by-vfdeck")

    with neighbour("router-vm", HELD, TOKEN.reveal_text()) as router:
        assert router.answer == "open"
        deck.wait("2 in use", "router-vm")
        deck.keep("held-by-another-program")
        rotate(deck)
        release(deck)
        numvfs(deck, 0)
        deck.keep("plan-to-disable")
        confirm(deck, f"router-vm ({router.pid})", key="Y")
        deck.wait(f"router-vm ({router.pid})", "⧗", gone=["Do it"])
        deck.press("Down")  # it is as lively as ever
        deck.keep("waiting-for-another-program")
        deck.press("Up")
    deck.wait("0 VFs", "✓ Done", gone=[VF, HELD])
    deck.keep("disabled")
    deck.press("q")
    assert deck.status() == 0


def rotate(deck: Terminal) -> None:
    """Holds the PF, and replaces its token through the held fd while both VFs are in use; the old one no longer opens."""
    deck.press("Up")
    deck.wait(f"PF {PF}")
    attempt(deck, PF, "Tab", "Tab", "Space", shows="[x] hold it open")
    deck.wait("✓ Done", gone=["Do it"])
    deck.press("t")
    deck.wait(f"Set the VF token of {PF}", "2 VFs in use")
    deck.press("g")
    deck.press("Enter")
    confirm(deck, "through the open fd")
    deck.wait("✓ Done", gone=["Do it", f"#{TOKEN.fingerprint}"])
    deck.keep("rotated")
    deck.press("Down")
    deck.wait(f"VF 0 {VF}")
    deck.press("o")
    deck.wait(f"Attempt to open {VF}")
    deck.press("Down")
    deck.wait("(•) another one")
    deck.paste(TOKEN.reveal_text())
    deck.wait(f"#{TOKEN.fingerprint}")
    deck.press("Enter")
    confirm(deck)
    deck.wait("EACCES at get_device_fd", "(D2)")
    deck.keep("old-token-refused")
    deck.press("Escape")
    deck.wait("q Quit")


def release(deck: Terminal) -> None:
    """Closes the VF and the PF again."""
    for bdf, key, left in ((VF, "Up", "1 in use"), (PF, "Down", "1 in use")):
        deck.press("c")
        confirm(deck, f"close every fd of {bdf}")
        deck.wait("✓ Done", bdf, left, gone=["Do it"])
        deck.press(key)


@has_cdev
def test_by_its_own_node(deck: Terminal) -> None:
    bind(deck)
    numvfs(deck, 1)
    confirm(deck)
    deck.wait("1/8", VF, gone=["Do it"])
    set_token(deck, TOKEN)
    deck.press("Down")
    deck.wait(f"VF 0 {VF}")
    attempt(deck, VF, "Tab", "Down", token="none", shows="(•) cdev")
    screen = deck.wait("bind_iommufd", gone=["Do it"])
    deck.keep("cdev-without-token")
    if "EACCES" in screen:
        deck.press("Escape")
        deck.wait("q Quit")
        attempt(deck, VF, "Tab", "Down", "Tab", "Space", shows="[x] hold it open")
        deck.wait("✓ Done", "1 in use", gone=["Do it"])
        deck.keep("cdev-with-token")
    deck.press("q")
    assert deck.status() == 0
