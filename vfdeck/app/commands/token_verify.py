"""`vfdeck token verify`: is this token the right one for a VF? The kernel is asked without opening it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from vfdeck.app import failure, token_sources
from vfdeck.app.commands import changing, hosts, outcomes
from vfdeck.app.failure import Failure
from vfdeck.backend.changes import OpenPath, Outcome, VerifyToken

#: Exit statuses for what was told; what could not be told has that of what stood in the way.
RIGHT, WRONG = 0, 1


def run(options: argparse.Namespace) -> int:
    """Ask and print. Raises Failure: 64 where no token was given, 66 for a function that is not there, else as `token_sources`."""
    bdf = hosts.address(options.bdf)
    with changing.host_of(options) as host:
        changing.function_of(host.snapshot(), bdf)
        token = token_sources.given(options)
        if token is None:
            raise Failure(failure.USAGE, "which token? Expected --token-file FILE, --token-stdin or --token-command CMD")
        before = host.snapshot()
        wanted = VerifyToken(bdf, token, OpenPath(options.path))
        plan = host.plan(wanted, before)
        outcome = None if plan.impossible else host.perform(wanted, plan)
    result = changing.Result(plan, before, outcome, _status(outcome))
    if options.json:
        changing.report(result, options, {"verified": outcome.verified if outcome is not None else None})
    else:
        changing.tell(_lines(result, wanted), options)
    return result.status


def _status(outcome: Outcome | None) -> int:
    if outcome is None:
        return failure.UNAVAILABLE
    if outcome.verified is None:
        return outcomes.status(outcome) or failure.UNAVAILABLE
    return RIGHT if outcome.verified else WRONG


def _lines(result: changing.Result, wanted: VerifyToken) -> Iterator[str]:
    about = f"#{wanted.token.fingerprint} for {wanted.bdf}"
    if result.outcome is None:
        yield from outcomes.wrapped(f"{about}: {result.plan.impossible.removeprefix('could not ask: ')}", "could not tell: ")
    elif result.outcome.verified is None:
        yield f"could not tell: {about}"
        yield from outcomes.outcome_text(result.outcome, result.before)
    else:
        function = result.before.functions[wanted.bdf]
        through = "group" if wanted.path is OpenPath.GROUP else "own node"
        said = "right" if result.outcome.verified else "wrong"
        yield from outcomes.wrapped(f"{about}, a VF of {function.physfn}; asked through its {through}, not opened", f"{said}: ")
        if result.outcome.explanation is not None:
            yield from outcomes.explanation_text(result.outcome.explanation)
    yield from changing.remark(result.before)
