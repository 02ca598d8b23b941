"""What becomes of the catalogue's entries: `python -m tests.sim.fault_table` prints which can be met and are named first."""

from __future__ import annotations

import re
import textwrap

from vfdeck.backend.catalogue import entries
from vfdeck.backend.checks import Verdict
from vfdeck.backend.checks.host import doctor
from vfdeck.backend.local_host import LocalHost
from vfdeck.backend.sim import faults
from vfdeck.backend.sim.faults import Exercise, practice
from vfdeck.backend.sim.faults.host import load

#: Faults whose entry is not named first yet, with what the diagnosis lacks.
NOT_YET: dict[str, str] = {}


def missed(name: str) -> str:
    """What is wrong when a fault is met: another answer than it should give, another entry named first; "" where all is well."""
    host = load(name)
    try:
        return missed_on(host, host.exercise)
    finally:
        host.close()


def missed_on(host: LocalHost, fault: Exercise) -> str:
    """The same on a host on which everything before the fault has happened, whatever its kernel."""
    if fault.look:
        found = found_at(host, fault.look)
        return "" if fault.entry in found else f"found {', '.join(found) or 'nothing'} at {fault.look}"
    if fault.plan is not None:
        warnings = host.plan(practice.change_of(fault.plan), host.snapshot()).warnings
        named = any(re.search(rf"\b{fault.entry}\b", text) for text in warnings)
        return "" if named else f"the plan warns: {'; '.join(warnings) or 'of nothing'}"
    outcome = practice.attempt(fault, host)
    answer = "BLOCKED" if outcome.blocked else outcome.errno_name
    wanted = (fault.do or {}).get("answer", answer)
    named_first = outcome.explanation.entry if outcome.explanation else "nothing"
    if answer != wanted:
        return f"answers {answer}, not {wanted}"
    others = ", ".join(other.entry for other in outcome.alternatives)
    return "" if named_first == fault.entry else f"names {named_first} first, then {others or 'nothing'}"


#: What is told as fine, and only where it is so.
_FINE = ("B17",)


def found_at(host: LocalHost, subject: str) -> list[str]:
    """The entries that `vfdeck doctor` finds about a function, or about the host."""
    about = "" if subject == "host" else subject
    told = [c for c in doctor(host.kernel, host.snapshot()) if c.subject == about]
    return [c.entry for c in told if c.verdict is not Verdict.YES or c.entry in _FINE]


def table() -> str:
    """The counts, with the ids of what is not in them."""
    known = [entry.id for entry in entries()]
    results = {name: missed(name) for name in faults.names()}
    of = {name: faults.exercise(name).entry for name in results}
    named = {of[name] for name, result in results.items() if not result}
    failed = {name: result for name, result in results.items() if result}
    real = {of[name] for name in results if faults.exercise(name).real}
    documented = [entry for entry in known if entry not in set(of.values())]
    lines = [
        f"entries in all                 {len(known)}",
        f"simulated and named first      {len(named - {of[name] for name in failed})}",
        f"of these marked real           {len(real & named)}",
        f"simulated, not named first     {len({of[name] for name in failed})}",
        *(f"    {name}: {result}" for name, result in failed.items()),
        f"documented only                {len(documented)}",
        textwrap.fill(" ".join(documented), 100, initial_indent="    ", subsequent_indent="    "),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
