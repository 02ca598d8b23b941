"""Programs that the kernel asks to let go: one that has a request channel does, one that has none holds up the removal."""

from __future__ import annotations

import pytest

from vfdeck.backend.sim.scenario import Scenario, SimulatedHost, host_table, load
from vfdeck.backend.sim.story import BrokenStory

PF = "0000:03:00.0"
#: of web-1, which lets go after 4 s; of web-2, which cannot be asked
POLITE, OTHER = "0000:03:02.0", "0000:03:02.1"


@pytest.fixture
def host() -> SimulatedHost:
    return load()


def holders(host: SimulatedHost, bdf: str) -> list[int]:
    return [holder.pid for holder in host.snapshot().holders if holder.bdf == bdf]


def unbind(host: SimulatedHost, bdf: str) -> bool:
    """Have a function taken from vfio-pci; whether that is done."""
    return host.kernel.write("/sys/bus/pci/drivers/vfio-pci/unbind", bdf.encode()).wait(0)


def log(host: SimulatedHost, bdf: str) -> list[str]:
    return [line.text for line in host.log() or [] if bdf in line.text]


def test_who_can_be_asked_lets_go_in_a_while(host: SimulatedHost) -> None:
    pending = host.kernel.write("/sys/bus/pci/drivers/vfio-pci/unbind", POLITE.encode())
    assert not pending.wait(0)
    assert log(host, POLITE) == [f"vfio-pci {POLITE}: Relaying device request to user (#0)"]
    host.advance(3.5)
    assert not pending.wait(0)
    host.advance(1)
    assert pending.wait(0)
    assert pending.result() is None
    assert host.snapshot().functions[POLITE].driver is None


def test_who_cannot_be_asked_holds_it_up(host: SimulatedHost) -> None:
    assert not unbind(host, OTHER)
    assert log(host, OTHER) == [f"vfio-pci {OTHER}: No device request channel registered, blocked until released by user"]
    host.advance(60)
    assert holders(host, OTHER) == [4391]


def test_a_removal_of_all_goes_on_to_the_one_that_waits(host: SimulatedHost) -> None:
    pending = host.kernel.write(f"/sys/bus/pci/devices/{PF}/sriov_numvfs", b"0")
    host.advance(5)
    assert POLITE not in host.snapshot().functions
    assert not pending.wait(0)
    assert log(host, OTHER)[-1].endswith("blocked until released by user")
    host.advance(90)  # web-2 closes its VF at 90 s; another machine took the next one meanwhile
    assert OTHER not in host.snapshot().functions
    assert not pending.wait(0)


def test_who_has_closed_before_is_not_asked(host: SimulatedHost) -> None:
    host.scenario.happen({"do": "close", "program": 4242, "bdf": POLITE})
    assert unbind(host, POLITE)
    host.advance(10)  # nothing to close, and nobody stumbles
    assert "Relaying" not in "".join(log(host, POLITE))


def test_another_program_after_it_cannot_be_asked(host: SimulatedHost) -> None:
    host.scenario.happen({"do": "close", "program": 4242, "bdf": POLITE})
    host.scenario.happen({"do": "open", "program": 4391, "bdf": POLITE, "token": "control"})
    assert not unbind(host, POLITE)
    assert log(host, POLITE)[-1].startswith(f"vfio-pci {POLITE}: No device request channel")


def test_a_slip_is_named() -> None:
    table = host_table("network")
    table["host"] = table["host"] | {"name": "x"}
    table["program"] = [*table["program"][1:], table["program"][0] | {"lets_go": "soon"}]
    with pytest.raises(BrokenStory, match=r"x, program \d+: lets_go = 'soon': expected seconds, 0 or more"):
        Scenario(table, 0)
