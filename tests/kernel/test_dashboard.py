"""The dashboard on a real kernel, in a real terminal: from the keys that are pressed to what stands on the screen.

The screens are kept as artefacts, to be looked at.
"""

from __future__ import annotations

import os
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
TOKEN = Token.parse("7c0e5f1a-93b4-4d28-a6e7-15c8f02b9d34")
WRONG = Token.parse("1f2e3d4c-5b6a-4798-8f9e-0d1c2b3a4958")

#: From 6.6 to 6.16 nobody is asked for a token on the cdev path.
ASKS_FOR_NO_TOKEN = (6, 6) <= tuple(int(part) for part in os.uname().release.split(".")[:2]) < (6, 17)

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
    deck.wait(f"✓ Done: {PF}", gone=["Do it"])


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


def attempt(deck: Terminal, bdf: str, *keys: str, shows: str = "") -> None:
    """Attempts to open the selected function; `keys` are for the dialog."""
    deck.press("o")
    deck.wait(f"Attempt to open {bdf}")
    for key in keys:
        deck.press(key)
    deck.wait(shows)
    deck.press("Enter")
    confirm(deck)


def attempt_with(deck: Terminal, bdf: str, token: Token) -> None:
    """Attempts to open the selected function with a token that is pasted; one that was set in this session is picked at first."""
    deck.press("o")
    deck.wait(f"Attempt to open {bdf}")
    deck.press("Down")
    deck.wait("(•) another one")
    deck.paste(token.reveal_text())
    deck.wait(f"#{token.fingerprint}")
    deck.press("Enter")
    confirm(deck)


def refused(deck: Terminal, *expected: str) -> None:
    """Waits for a refusal and its explanation, and puts them away."""
    deck.wait("EACCES", "What to do", *expected)
    deck.keep("refused")
    deck.press("Escape")
    deck.wait("✗ Refused: EACCES", "q Quit", gone=["What to do"])


def test_from_binding_to_removal(deck: Terminal) -> None:
    deck.keep("started")
    bind(deck)
    numvfs(deck, 2)
    confirm(deck, f"/sys/bus/pci/devices/{PF}/sriov_numvfs")
    deck.wait("✓ Done", "2/8", VF, HELD, gone=["Do it"])
    deck.keep("bound-and-enabled")
    deck.press("Down")
    deck.wait(f"VF 0 {VF}")
    attempt(deck, VF)
    refused(deck, "get_device_fd", "(D1)")

    set_token(deck, TOKEN)
    deck.wait(f"#{TOKEN.fingerprint}", "✓ Done", gone=["unset", TOKEN.reveal_text()])
    deck.keep("token-set")
    attempt_with(deck, VF, WRONG)
    refused(deck, "get_device_fd", "(D2)")
    attempt(deck, VF, "Tab", "Tab", "Space", shows="[x] hold it open")
    deck.wait(f"✓ Done: {VF}", "1 in use", gone=["Do it"])
    deck.keep("held-by-vfdeck")

    with neighbour("router-vm", HELD, TOKEN.reveal_text()) as router:
        assert router.answer == "open"
        deck.wait("2 in use")
        deck.press("Down")
        deck.wait(f"VF 1 {HELD}", f"router-vm ({router.pid})")
        deck.keep("held-by-another-program")
        deck.press("Up")
        deck.wait(f"VF 0 {VF}")
        rotate(deck)
        release(deck)
        numvfs(deck, 0)
        deck.keep("plan-to-disable")
        confirm(deck, f"router-vm ({router.pid})", key="Y")
        deck.wait(f"waiting for router-vm ({router.pid}), which holds {HELD}", gone=["Do it"])
        deck.press("Down")  # it is as lively as ever
        deck.keep("waiting-for-another-program")
        deck.press("Up")
    deck.wait("0 VFs", "✓ Done", gone=[VF, HELD])
    deck.keep("disabled")
    deck.press("q")
    deck.wait("A token would be lost", PF)  # the one that was made and that nobody has seen
    deck.press("y")
    assert deck.status() == 0


def rotate(deck: Terminal) -> None:
    """Holds the PF, and replaces its token through the held fd while both VFs are in use; the old one no longer opens."""
    deck.press("Up")
    deck.wait(f"PF {PF}")
    attempt(deck, PF, "Tab", "Tab", "Space", shows="[x] hold it open")
    deck.wait(f"✓ Done: {PF}", f"{PF}  O open", gone=["Do it"])  # by a look after it: the plan goes by what is seen
    deck.press("t")
    deck.wait(f"Set the VF token of {PF}", "2 VFs in use")
    deck.press("g")
    deck.press("Enter")
    deck.wait("again sets it unseen")
    deck.press("Enter")
    confirm(deck, "through the open fd", key="Y")
    deck.wait("✓ Done", gone=["Do it", f"#{TOKEN.fingerprint}"])
    deck.keep("rotated")
    deck.press("Down")
    deck.wait(f"VF 0 {VF}")
    attempt_with(deck, VF, TOKEN)
    refused(deck, "get_device_fd", "(D2)")


def release(deck: Terminal) -> None:
    """Closes the VF and the PF again."""
    for bdf, key, left in ((VF, "Up", "1 in use"), (PF, "Down", "1 in use")):
        deck.press("c")
        confirm(deck, f"close every fd of {bdf}")
        deck.wait(f"✓ Done: {bdf}", left, gone=["Do it", f"{bdf}  O open"])
        deck.press(key)


@has_cdev
def test_by_its_own_node(deck: Terminal) -> None:
    bind(deck)
    numvfs(deck, 1)
    confirm(deck)
    deck.wait("✓ Done", "1/8", VF, gone=["Do it"])
    deck.press("Down")
    deck.wait(f"VF 0 {VF}")
    attempt(deck, VF, "Tab", "Down", shows="(•) cdev")
    if ASKS_FOR_NO_TOKEN:
        deck.wait("✓ Done", "(D17)", gone=["Do it"])
    else:
        refused(deck, "bind_iommufd")
        set_token(deck, TOKEN)
        attempt(deck, VF, "Tab", "Down", "Tab", "Space", shows="[x] hold it open")
        deck.wait("✓ Done", "1 in use", gone=["Do it"])
    deck.keep("opened")
    deck.press("q")
    assert deck.status() == 0
