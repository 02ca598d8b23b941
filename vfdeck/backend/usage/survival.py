"""Whether what is built on disks goes on when some of them go: arrays (md), several paths to one disk, and what stands on them.

An array does without as many members as its level allows, less those that it misses already (drivers/md/md.c: `degraded`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vfdeck.backend.text import printable
from vfdeck.backend.usage.looking import Looker
from vfdeck.backend.wording import listing

BLOCK = "/sys/class/block"
_TOLERATES = {"raid4": 1, "raid5": 1, "raid6": 2}
# The parts of a mirrored or striped volume of LVM; what kind of volume it is, no file tells.
_LVM_PART = re.compile(r"_[rm]image_\d+$")
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(slots=True)
class Survival:
    """`going` are the disks that go, and `parents` the device of each partition that stands on them."""

    looker: Looker
    going: frozenset[str]
    parents: dict[str, str] = field(default_factory=dict)
    _lost: dict[str, bool] = field(default_factory=dict)

    def lost(self, name: str) -> bool:
        """Whether a device does not go on; also where that could not be found out, which is noted then."""
        if name not in self._lost:
            self._lost[name] = False  # in a loop, which no kernel makes
            self._lost[name] = self._find_out(name)
        return self._lost[name]

    def _find_out(self, name: str) -> bool:
        if name in self.going:
            return True
        if name in self.parents:
            return self.lost(self.parents[name])
        below = self.looker.names(f"{BLOCK}/{name}/slaves")
        lost = [member for member in below if self.lost(member)]
        if len(lost) == len(below):
            return bool(lost)
        if not lost or self.looker.text(f"{BLOCK}/{name}/dm/uuid").startswith("mpath-"):
            return False
        level = self.looker.text(f"{BLOCK}/{name}/md/level")
        if level:
            return not self._array_goes_on(name, level, lost)
        if any(_LVM_PART.search(self.looker.text(f"{BLOCK}/{member}/dm/name")) for member in lost):
            self._doubt(self.looker.text(f"{BLOCK}/{name}/dm/name") or name, lost, "no file tells what kind of volume it is")
        return True

    def _array_goes_on(self, name: str, level: str, lost: list[str]) -> bool:
        """Whether an array does without these members. Spares and members that failed do not count."""
        if level not in _TOLERATES and level not in ("raid1", "raid10"):
            return False
        tolerates, missing = self._tolerates(name, level), self._number(name, "degraded")
        if tolerates is None or missing is None:
            self._doubt(f"{name} ({level})", lost, "its state cannot be read")
            return False
        states = [self.looker.text(f"{BLOCK}/{name}/md/dev-{member}/state") for member in lost]
        if any("journal" in state for state in states):
            self._doubt(f"{name} ({level})", lost, "it loses its write journal, and becomes read-only")
            return False
        counting = [state for state in states if not state or "in_sync" in state]
        if missing + len(counting) <= tolerates:
            return True
        if level == "raid10":
            self._doubt(f"{name} ({level})", lost, "that depends on which of its disks hold the same data")
        return False

    def _tolerates(self, name: str, level: str) -> int | None:
        """How many members an array may surely miss; None where it is not told."""
        if level == "raid1":
            disks = self._number(name, "raid_disks")
            return None if disks is None else disks - 1
        if level == "raid10":
            layout = self._number(name, "layout")  # near copies, and from bit 8 on far ones (drivers/md/raid10.c setup_geo)
            return None if layout is None else (layout & 0xFF) * (layout >> 8 & 0xFF) - 1
        return _TOLERATES[level]

    def _number(self, name: str, file: str) -> int | None:
        """A number of an array; `raid_disks` has the old one behind it while the array is reshaped."""
        found = _NUMBER.match(self.looker.text(f"{BLOCK}/{name}/md/{file}"))
        return int(found[0]) if found else None

    def _doubt(self, what: str, lost: list[str], why: str) -> None:
        self.looker.doubt(f"whether {printable(what)} goes on without {listing([printable(name) for name in lost])}", why)
