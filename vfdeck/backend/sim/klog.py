"""The simulated kernel log, with the kernel's rate limit."""

from __future__ import annotations

from dataclasses import dataclass, field

from vfdeck.backend.kernel import LogLine

#: A rate-limited message site prints this many lines ...
BURST = 10
#: ... in this many seconds (DEFAULT_RATELIMIT_BURST and _INTERVAL of the kernel).
INTERVAL = 5.0


@dataclass(slots=True)
class _Site:
    began: float | None = None
    printed: int = 0
    missed: int = 0


@dataclass(slots=True)
class KernelLog:
    """Lines since `boot`, in seconds since the epoch. `caused`: every line that was meant to be printed, the suppressed too."""

    boot: float = 0.0
    lines: list[LogLine] = field(default_factory=list)
    caused: list[str] = field(default_factory=list)
    _sites: dict[str, _Site] = field(default_factory=dict)

    def add(self, now: float, text: str) -> None:
        """Print a line. `now` is seconds since boot."""
        self.caused.append(text)
        self._print(now, text)

    def _print(self, now: float, text: str) -> None:
        self.lines.append(LogLine(now, text, self.boot + now))

    def add_limited(self, now: float, text: str, site: str, function: str) -> None:
        """Print a line of a rate-limited site; `function` is what the kernel names when it tells of suppressed lines."""
        limit = self._sites.setdefault(site, _Site())
        if limit.began is None or now > limit.began + INTERVAL:
            if limit.missed:
                self._print(now, f"{function}: {limit.missed} callbacks suppressed")
            limit.began, limit.printed, limit.missed = now, 0, 0
        if limit.printed < BURST:
            limit.printed += 1
            self.add(now, text)
        else:
            limit.missed += 1
            self.caused.append(text)

    def take_caused(self) -> list[str]:
        """The lines caused since the last call."""
        taken, self.caused = self.caused, []
        return taken
