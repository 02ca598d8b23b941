"""What a dashboard begins with when it shows a fault to practise on: the story, what to try, and where."""

from __future__ import annotations

from dataclasses import dataclass

from vfdeck.widgets.sections import Fact, Section


@dataclass(frozen=True, slots=True)
class Lesson:
    """A story about one function of the first host."""

    name: str  # of the fault, e.g. "A14"
    story: str
    advice: str
    target: str  # BDF on which the cursor begins

    @property
    def title(self) -> str:
        """What stands above the story."""
        return f"To practise on: {self.name}"

    def sections(self) -> list[Section]:
        """The story, as a page shows it."""
        entry = self.name.split(".", 1)[0]
        facts = (
            Fact("", self.story),
            Fact("try", self.advice),
            Fact("then", f"compare what vfdeck says with `vfdeck explain {entry}`. Nothing here touches real hardware."),
        )
        return [Section("", facts)]
