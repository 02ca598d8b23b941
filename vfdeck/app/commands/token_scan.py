"""`vfdeck token scan`: which programs carry a VF token where others can read it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator

from vfdeck.app.commands import hosts, outcomes, output
from vfdeck.backend.leading import led
from vfdeck.backend.leaks import COMMAND_LINE, Leak, Leaks, leaks
from vfdeck.backend.model import Snapshot, TokenState
from vfdeck.backend.well_known import by_fingerprint
from vfdeck.backend.wording import listing

VERSION = 1
#: Exit statuses: none was found; one was; none was seen, but one may stand where it could not be looked (EX_NOPERM).
NONE, FOUND, NOT_KNOWN = 0, 1, 77


def run(options: argparse.Namespace) -> int:
    """Look at every process once and print, of each host."""
    found: list[tuple[str, Leaks, Snapshot | None]] = []
    for host in hosts.near(options):
        try:
            seen = leaks(host.kernel)
            found.append((host.name, seen, host.snapshot() if seen.found and not options.json else None))
        finally:
            host.close()
    several = len(found) > 1
    if options.json:
        output.write_each([_json(name, seen) for name, seen, _ in found], several)
    else:
        output.write_blocks((*([f"{name}:"] if several else []), *_lines(seen, snapshot)) for name, seen, snapshot in found)
    if any(seen.found for _, seen, _ in found):
        return FOUND
    return NOT_KNOWN if any(seen.unseen for _, seen, _ in found) else NONE


def _json(name: str, seen: Leaks) -> str:
    """As described by schema/leaks-v1.json."""
    entries = [
        {key: value or None if key in ("vm", "container") else value for key, value in entry.items()} for entry in _entries(seen)
    ]
    value = {
        "version": VERSION,
        "host": name,
        "unseen": seen.unseen,
        "not_read": [dataclasses.asdict(one) for one in seen.not_read],
        "leaks": entries,
    }
    return json.dumps(value, indent=1) + "\n"


def _entries(seen: Leaks) -> Iterator[dict[str, object]]:
    return (dataclasses.asdict(leak) for leak in seen.found)


def _lines(seen: Leaks, snapshot: Snapshot | None) -> Iterator[str]:
    for leak in seen.found:
        yield from outcomes.wrapped(_line(leak))
    if snapshot is None:
        yield "no VF token in any command line or environment that could be read"
    else:
        yield from _way_out(seen, snapshot)
    yield from _not_read(seen)


def _not_read(seen: Leaks) -> Iterator[str]:
    """Which programs could not be looked at, those together of which the same is to be said."""
    alike: dict[tuple[str, str, bool], list[str]] = {}
    for one in seen.not_read:
        name = f"{one.program or 'a program'} ({one.pid})" if one.pid else one.program
        alike.setdefault((one.place, one.why, one.doubt), []).append(name)
    for (place, why, doubt), names in alike.items():
        means = "there may be more" if doubt else "kept from its own user too, so nobody reads it without more privileges"
        yield from outcomes.wrapped(f"{place} of {listing(names)}: {why}; {means}", "not read: ")


def _way_out(seen: Leaks, snapshot: Snapshot) -> Iterator[str]:
    """The commands that make what leaked useless. Whose token it is, the programs tell that hold a PF or its VFs, or a record."""
    why = "whoever runs programs here can read command lines"
    yield from outcomes.wrapped(f"Rotate what should be secret, and pass it in another way: {why}.")
    for pf in concerned(seen, snapshot):
        yield led(f"  vfdeck token rotate {pf} --out FILE", snapshot.host.reached)
    yield led("  vfdeck recipe VF", snapshot.host.reached)
    yield "The recipes tell how to start programs without a token in sight."


def concerned(seen: Leaks, snapshot: Snapshot) -> list[str]:
    """The PFs on vfio-pci whose token may be among the leaks: its fingerprint is known, or a program that leaks one holds them."""
    pids = {leak.pid for leak in seen.found}
    fingerprints = {leak.fingerprint for leak in seen.found}
    found = []
    for pf in snapshot.pfs():
        known = snapshot.tokens.get(pf.bdf)
        held = {pf.bdf, *(vf.bdf for vf in snapshot.vfs_of(pf.bdf))}
        leaked = known is not None and known.state is not TokenState.NONE and known.fingerprint in fingerprints
        if pf.on_vfio and (leaked or any(holder.bdf in held and holder.pid in pids for holder in snapshot.holders)):
            found.append(pf.bdf)
    return found


def _line(leak: Leak) -> str:
    readers = "everybody on this host" if leak.place == COMMAND_LINE else "its user and root"
    where = "".join(f", {part}" for part in (f"VM {leak.vm}" if leak.vm else "", leak.container) if part)
    public = by_fingerprint(leak.fingerprint)
    known = f"  WELL KNOWN: {public.words}" if public else ""
    return f"#{leak.fingerprint}  {leak.program} ({leak.pid}){where}  in its {leak.place}, for {readers} to read{known}"
