"""A demo that lives says so in the help, each story once with its hosts."""

from __future__ import annotations

import pytest

from tests.pilot.driving import running
from vfdeck.backend.sim import scenario


@pytest.mark.parametrize("lives", [True, False])
async def test_the_help_tells_what_goes_on_by_itself(lives: bool) -> None:
    hosts = [scenario.load(f"datacentre/{name}", lives=lives) for name in ("net-01", "net-02", "acc-01")]
    async with running(*hosts) as deck:
        await deck.press("question_mark")
        assert ("This demo lives" in deck.page) is lives
        assert ("net-01, net-02: edge-3 is started" in deck.page) is lives
        assert ("acc-01: a token is set" in deck.page) is lives
        assert ("vfdeck demo --still" in deck.page) is lives
    for host in hosts:
        host.close()


async def test_a_demo_that_lives_says_so_and_how_to_have_one_that_does_not() -> None:
    for still in (False, True):
        hosts = scenario.load_all(realtime=True, lives=not still, still=still)
        async with running(*hosts, size=(140, 30)) as deck:
            assert ("DEMO · simulated, and alive" in deck.text) is not still
            assert ("vfdeck demo --still" in deck.line) is not still
            await deck.press("question_mark")
            assert ("hv-07: programs open and close VFs" in deck.page) is not still
        for host in hosts:
            host.close()
