"""What every check looks at: the snapshot, the kernel, and the few readings that several checks share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from vfdeck.backend.catalogue import entry, fillable
from vfdeck.backend.changes import Change, Close, target_of
from vfdeck.backend.checks import Check, Severity, Verdict
from vfdeck.backend.checks.pci import config
from vfdeck.backend.evidence import Rights, Unread, allows, mount_options, rights, sealed, stat_of
from vfdeck.backend.facts import Facts, host_has
from vfdeck.backend.kernel import Kernel, Stage
from vfdeck.backend.leading import led
from vfdeck.backend.model import Certainty, Function, Snapshot
from vfdeck.backend.predict import predict
from vfdeck.backend.vfio import DEVICES
from vfdeck.backend.wording import words


@dataclass(slots=True)
class Scene:
    """A host as one list of checks sees it. `change` is the change that is asked about, where it is about one."""

    kernel: Kernel
    snapshot: Snapshot
    change: Change | None = None
    _rights: Rights | Unread | None = field(default=None, repr=False)
    _spaces: dict[str, bytes | Unread] = field(default_factory=dict, repr=False)

    def has(self, switch: str) -> bool:
        """Whether the host's kernel has a switch of the version table, by its release."""
        return host_has(self.snapshot.host, switch)

    @property
    def rights(self) -> Rights | Unread:
        """What this program may do."""
        if self._rights is None:
            self._rights = rights(self.kernel)
        return self._rights

    def config(self, bdf: str) -> bytes | Unread:
        """A function's configuration space, read once."""
        if bdf not in self._spaces:
            self._spaces[bdf] = config(self.kernel, bdf)
        return self._spaces[bdf]

    def check(
        self,
        question: str,
        fine: bool | None,
        *evidence: str,
        entry: str = "",
        weight: Severity = Severity.ERROR,
        subject: str = "",
        do: tuple[str, ...] | None = None,
    ) -> Check:
        """A check; `fine` None: it could not be made. What to do is the catalogue's, with this host's addresses, unless given."""
        verdict = Verdict.UNKNOWN if fine is None else Verdict.YES if fine else Verdict.NO
        if fine:
            do = ()
        elif do is None:
            do = self.remedy(entry, subject) if fine is False and entry else ()
        return Check(question, verdict, evidence, entry, weight, subject, do)

    def remedy(self, entry_id: str, bdf: str = "") -> tuple[str, ...]:
        """What the catalogue says to do, where all its words can be filled."""
        facts = Facts(self.snapshot, self.change or Close(bdf), Stage.FILE)
        known = words(facts)
        return tuple(led(text, self.snapshot.host.reached) for text in fillable(entry(entry_id).do, known))

    def expected(self, change: Change) -> Iterator[Check]:
        """The refusal or the wait that the rules of prediction expect; nothing where they expect success, which is no proof."""
        told = predict(change, self.snapshot)  # without what is read beside it: of that the checks tell one by one
        if told is not None and (told.errno or told.blocked):
            fine = None if told.certainty is Certainty.UNKNOWN else False
            yield self.check("Is no refusal or wait expected of the kernel?", fine, str(told), subject=target_of(change))

    def may_write(self, path: str) -> Check:
        """Whether this program may write a file of sysfs: mode and owner, and how it is mounted (A19, A20)."""
        question, subject = f"May vfdeck write {path.rpartition('/')[2]}?", path
        options = mount_options(self.kernel, path)
        if not isinstance(options, Unread) and "ro" in options:
            return self.check(question, False, f"{path}: mounted read-only", entry="A20", subject=subject)
        node, who = stat_of(self.kernel, path), self.rights
        if not isinstance(node, Unread) and sealed(node):
            text = f"mode {node.mode & 0o7777:04o}: nobody may, not even root"
            return self.check(question, False, text, entry="A19", subject=subject)
        unread = next((found for found in (node, who) if isinstance(found, Unread)), None)
        if unread is not None or isinstance(node, Unread) or isinstance(who, Unread):
            return self.check(question, None, unread.why if unread else "", entry="A19", subject=subject)
        fine = allows(node, who, 0o2)
        mode = f"mode {node.mode & 0o7777:04o}, owner {node.uid}:{node.gid}; vfdeck runs as uid {who.uid}"
        return self.check(question, fine, mode, entry="A19", subject=subject)


def with_function(kernel: Kernel, snapshot: Snapshot, bdf: str) -> Snapshot:
    """The same snapshot with one more function in it, and its group: snapshots leave out what has nothing to do with SR-IOV."""
    if bdf in snapshot.functions:
        return snapshot
    from vfdeck.backend.topology import scan

    more = scan(kernel, {}, also=frozenset({bdf}))
    functions, groups = {**more.functions, **snapshot.functions}, {**more.groups, **snapshot.groups}
    return replace(snapshot, functions=functions, groups=groups)


def gone(scene: Scene, bdf: str) -> Check:
    """The check of what is not there at all."""
    return scene.check("Is there such a function?", False, f"no {DEVICES}/{bdf}", entry="G11", subject=bdf)


def named(functions: list[Function]) -> str:
    """Functions with their drivers: `0000:03:00.0 (i40e), 0000:03:00.1 (no driver)`."""
    return ", ".join(f"{f.bdf} ({f.driver or 'no driver'})" for f in functions)
