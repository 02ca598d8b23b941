"""`vfdeck token set` and `vfdeck token rotate`: give a PF another token, and see to it that somebody has it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from vfdeck.app import failure, token_delivery, token_sources
from vfdeck.app.commands import changing, hosts, outcomes
from vfdeck.app.failure import Failure
from vfdeck.app.token_delivery import Delivery
from vfdeck.backend import lessons, rotation
from vfdeck.backend.agent.remote_host import RemoteHost
from vfdeck.backend.changes import Outcome, Plan, SetToken, TokenWay, target_of
from vfdeck.backend.leading import led
from vfdeck.backend.leaks import Leaks, leaks
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.model import Holder, Snapshot, TokenKnowledge
from vfdeck.backend.report import holder_json
from vfdeck.backend.token import Token
from vfdeck.backend.wording import listing, programs, unseen


def run(options: argparse.Namespace) -> int:
    """Plan, ask, hand the token on, set it. Raises Failure as `changing`, `token_sources` and `token_delivery` do."""
    pf = hosts.address(options.pf)
    to = _demand_sense(options)
    with changing.host_of(options) as host:
        changing.function_of(host.snapshot(), pf)
        if (options.token_command or options.current_token_command) and not (options.yes or options.dry_run):
            changing.demand_somebody()  # before a secret is fetched for nothing
        token = Token.generate() if options.generate else token_sources.given(options)
        assert token is not None
        handed = _Handed(token, to)
        current = token_sources.given(options, "current_token")
        wanted = SetToken(pf, token, TokenWay(options.way) if options.way else None, current)
        worded = _without_name(token) if options.generate else lambda plan: plan
        try:
            result = changing.change(host, wanted, options, handed.deliver, worded)
            if result.outcome is not None:
                result = _told(host, result, result.outcome, handed, options)
        except BaseException:  # an interrupt above all: what the kernel was asked for goes on
            handed.tell_of_doubt()
            raise
    if options.json:
        changing.report(result, options, _more(result, handed, options))
    return result.status


def _told(
    host: LocalHost | RemoteHost, result: changing.Result, outcome: Outcome, handed: _Handed, options: argparse.Namespace
) -> changing.Result:
    """Tell what came of it; the result with the status that this has."""
    rival = _rival(host.snapshot().tokens.get(target_of(outcome.change)), handed.token) if outcome.ok else ""
    if outcome.ok and (outcome.verified is False or rival):
        result = dataclasses.replace(result, status=failure.TRY_AGAIN)
    seen = leaks(host.kernel) if outcome.ok and isinstance(host, LocalHost) else None
    changing.tell(_after(outcome, handed, result.before, seen, rival), options)
    return result


def _without_name(token: Token) -> Callable[[Plan], Plan]:
    """Words a plan for a token that is handed on only when it is agreed to: until then nobody shall take it for one that exists."""

    def unnamed(text: str) -> str:
        return text.replace(f"token #{token.fingerprint}", "the new token")

    def worded(plan: Plan) -> Plan:
        steps = tuple(dataclasses.replace(step, text=unnamed(step.text)) for step in plan.steps)
        return dataclasses.replace(plan, title=unnamed(plan.title), steps=steps, warnings=tuple(map(unnamed, plan.warnings)))

    return worded


def _more(result: changing.Result, handed: _Handed, options: argparse.Namespace) -> dict[str, Any]:
    """What JSON has beside plan and outcome."""
    change = outcomes.change_json(result.plan.change)
    if options.generate and not handed.delivered:
        change["token"] = None
    concerned = rotation.concerned(target_of(result.plan.change), result.before)
    return {
        "change": {**change, "kind": "rotate"} if options.doing == "rotate" else change,
        "delivered": handed.where or None,
        "token_may_be_in_force": result.outcome is not None and _may_be_in_force(result.outcome, result.before),
        "must_be_told": [_to_be_told(holder) for holder in concerned],
        "unseen": result.before.unseen,
    }


def _to_be_told(holder: Holder) -> dict[str, Any]:
    entry = holder_json(holder)
    return {key: entry[key] for key in ("bdf", "pid", "program", "vm", "container", "certainty")}


def _may_be_in_force(outcome: Outcome, before: Snapshot) -> bool:
    return lessons.may_have_set(outcome, _borrowed(outcome, before))


def _borrowed(outcome: Outcome, before: Snapshot) -> bool:
    """Whether another program's descriptor was used: then the kernel's yes may have been for another PF."""
    return isinstance(outcome.change, SetToken) and bool(rotation.borrows_from(outcome.change, before))


def _demand_sense(options: argparse.Namespace) -> Delivery | None:
    """The delivery. Raises Failure where there is no token, or one that is made would go nowhere."""
    to = token_delivery.wanted(options)
    source = options.token_file is not None or options.token_stdin or options.token_command is not None
    if not source and not options.generate:
        line = "which token? Expected --generate, --token-file FILE, --token-stdin or --token-command CMD"
        raise Failure(failure.USAGE, line)
    if options.token_stdin and options.current_token_stdin:
        raise Failure(failure.USAGE, "--token-stdin and --current-token-stdin: only one of them can be read from it")
    if options.generate and to is None and not options.dry_run:
        line = (
            "where does the token go that is made? Expected --out FILE, --to-command CMD or --show: the kernel shows it to nobody"
        )
        raise Failure(failure.USAGE, line)
    if to is not None and not options.generate:
        raise Failure(failure.USAGE, "--out, --to-command and --show go with a token that is made: --generate")
    return to


@dataclass(slots=True)
class _Handed:
    """A token on its way to those who shall have it."""

    token: Token
    to: Delivery | None
    where: str = ""
    delivered: bool = False

    def deliver(self) -> None:
        """Before the kernel gets it."""
        if self.to is not None:
            self.where = self.to.deliver(self.token)
        self.delivered = True

    def tell_of_doubt(self) -> None:
        """The command ends without an outcome."""
        if self.delivered:
            keep = f"; keep it: {self.where}" if self.where else ""
            print(f"vfdeck: #{self.token.fingerprint} may be in force{keep}", file=sys.stderr, flush=True)


def _rival(known: TokenKnowledge | None, token: Token) -> str:
    """What another vfdeck has done to the PF's token in the same moment, by the journal; "" where it tells of nobody."""
    if known is None or not token.fingerprint:
        return ""
    if known.begun and known.begun != token.fingerprint:
        return f"another vfdeck began to set #{known.begun}, and has not told what came of it"
    if known.fingerprint and known.fingerprint != token.fingerprint:
        return f"another vfdeck{' of ' + known.by if known.by else ''} has set #{known.fingerprint} since"
    return ""


def _after(outcome: Outcome, handed: _Handed, before: Snapshot, seen: Leaks | None, rival: str) -> Iterator[str]:
    yield from outcomes.outcome_text(outcome)
    name, pf = f"#{handed.token.fingerprint}", target_of(outcome.change)
    if outcome.ok and outcome.verified is not False:
        where = f", {handed.where}" if handed.where else ""
        asking = led("`vfdeck token verify`", before.host.reached)
        if rival:
            yield from outcomes.wrapped(f"{name} was set{where}; but {rival}: {asking} tells which one is in force")
        elif outcome.verified:
            yield from outcomes.wrapped(f"{name} is the token of {pf} (confirmed: the kernel was asked){where}")
        else:
            yield from outcomes.wrapped(f"{name} was set as the token of {pf}; not confirmed: no VF could be asked{where}")
        yield from _who(pf, before, seen)
    else:
        borrowed = _borrowed(outcome, before)
        if outcome.ok and not borrowed:
            yield from outcomes.wrapped(f"{name} was set, but is not in force any more: somebody else has set another one since")
        if handed.to is not None and not lessons.may_have_set(outcome, borrowed):
            yield from outcomes.wrapped(handed.to.withdraw())
        elif handed.to is not None:
            where = ", on this PF or another one" if borrowed else ""
            yield from outcomes.wrapped(f"{name} may be in force all the same{where}; keep it: {handed.where}")
    yield from changing.remark(before)


def _who(pf: str, before: Snapshot, seen: Leaks | None) -> Iterator[str]:
    """Who goes on, who must be told, and who has an old token in its command line."""
    vfs = {vf.bdf for vf in before.vfs_of(pf)}
    users = [holder for holder in before.holders if holder.bdf in vfs and not holder.own]
    if users or before.unseen:
        who = listing(programs(users), 8) or "nobody that vfdeck could see"
        yield from outcomes.wrapped(f"{who}{unseen(before)}", "go on as they are: ")
    told = [*dict.fromkeys(_name(holder) for holder in users)]
    yield from outcomes.wrapped(
        f"whoever starts a program on {'one of the ' + str(len(vfs)) + ' VFs' if vfs else 'a VF'} of {pf}"
        + (f", so when they start again: {listing(told, 8)}" if told else ""),
        "must be told: ",
    )
    known = before.tokens.get(pf)
    concerned = {holder.pid for holder in before.holders if holder.bdf in vfs or holder.bdf == pf}
    if seen is None:
        yield from outcomes.wrapped("`vfdeck token scan` on the host itself tells", "an old token in a command line: ")
    for leak in seen.found if seen is not None else ():
        if leak.pid in concerned or (known is not None and leak.fingerprint == known.fingerprint):
            text = f"{leak.program} ({leak.pid}) was started with #{leak.fingerprint} in its {leak.place}: change how it is started"
            yield from outcomes.wrapped(text, "  ")


def _name(holder: Holder) -> str:
    """A virtual machine or container by its name, else the program."""
    return f"VM {holder.vm}" if holder.vm else holder.container or holder.program
