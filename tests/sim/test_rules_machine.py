"""The simulated kernel against a model of the token rules that fits on a page, driven by Hypothesis.

The model knows what anybody can know from outside: what each program was told to do. It predicts every answer, so a rule that is
broken in the simulation shows as a wrong prediction, with a short list of steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.contract.bed import IGB, IGB_2, IGB_VFS, PLAIN, U1, U2, SimulatedBed, answer
from vfdeck.backend.kernel import VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_PROBE, VFIO_DEVICE_FEATURE_SET
from vfdeck.backend.sim.kernel import SimulatedKernel
from vfdeck.backend.vfio import OpenDevice, Program

PFS = (IGB, IGB_2)
VFS = {IGB: IGB_VFS[:2], IGB_2: tuple(vf.replace(":01:", ":02:") for vf in IGB_VFS[:2])}
PF_OF = {vf: pf for pf, vfs in VFS.items() for vf in vfs}
FUNCTIONS = (*PFS, *PF_OF, PLAIN)
GIVEN = ("none", "right", "right", "wrong")
PROGRAMS = ("one", "two")


@dataclass
class Model:
    """Which functions are on vfio-pci, how many VFs each PF has, each PF's token where it is known, and who holds what."""

    on_vfio: set[str] = field(default_factory=set)
    vfs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PFS, 0))
    token: dict[str, UUID | None] = field(default_factory=dict)  # None: the random one of the binding
    held: dict[int, tuple[str, str, str]] = field(default_factory=dict)  # reference -> program, function, path

    def exists(self, bdf: str) -> bool:
        return bdf not in PF_OF or bdf in VFS[PF_OF[bdf]][: self.vfs[PF_OF[bdf]]]

    def users(self, pf: str) -> int:
        """Distinct VFs of the PF that somebody holds."""
        return len({bdf for _, bdf, _ in self.held.values() if PF_OF.get(bdf) == pf})

    def holders(self, bdf: str) -> set[tuple[str, str]]:
        return {(program, path) for program, held, path in self.held.values() if held == bdf}

    def pick(self, bdf: str, given: str) -> UUID | None:
        """A token that is right, as far as anybody knows it, or one that is wrong."""
        known = self.token.get(PF_OF.get(bdf, bdf))
        if given == "none":
            return None
        return known or U1 if given == "right" else U2 if known == U1 else U1

    def judge(self, bdf: str, token: UUID | None) -> str:
        """The ten lines."""
        if bdf == PLAIN:
            return "OK" if token is None else "EINVAL"
        pf = PF_OF.get(bdf, bdf)
        if bdf == pf and self.users(pf) == 0:
            if token is not None:
                self.token[pf] = token
            return "OK"
        return "OK" if token is not None and token == self.token[pf] else "EACCES"


class Rules(RuleBasedStateMachine):
    """Several programs on one machine."""

    release = "7.3"
    references = Bundle("references")  # descriptors and mappings

    def __init__(self) -> None:
        super().__init__()
        self.bed = SimulatedBed(self.release)
        self.model = Model()
        self.programs = {name: Program(self.bed.new_kernel(name)) for name in PROGRAMS}
        self.count = 0
        self.fds: dict[int, tuple[int, bool]] = {}  # reference -> descriptor or mapping, whether it is a mapping

    def kernel(self, program: str) -> SimulatedKernel:
        kernel = self.programs[program].kernel
        assert isinstance(kernel, SimulatedKernel)
        return kernel

    def note(self, program: str, bdf: str, path: str, fd: int, mapped: bool = False) -> int:
        self.count += 1
        self.model.held[self.count] = (program, bdf, path)
        self.fds[self.count] = (fd, mapped)
        return self.count

    # -- drivers and VFs ---------------------------------------------------------------------------------------------
    @initialize(vfs=st.tuples(st.integers(0, 2), st.integers(1, 2)))
    def prepare(self, vfs: tuple[int, int]) -> None:
        """Mostly there is something to open."""
        for bdf in (*PFS, PLAIN):
            self.bind(bdf)
        for pf, count in zip(PFS, vfs, strict=True):
            self.numvfs(pf, count)
            program = self.programs["one"]
            program.close(program.open_by_group(pf, f"{pf} vf_token={U1}".encode()))
            self.model.token[pf] = U1

    @rule(data=st.data())
    def administer(self, data: st.DataObject) -> None:
        """One rule for all of it, so that most steps are opens."""
        what = data.draw(st.sampled_from(["bind", "bind", "unbind", "numvfs", "numvfs"]))
        if what == "numvfs":
            self.numvfs(data.draw(st.sampled_from(PFS)), data.draw(st.integers(0, 2)))
        else:
            bdf = data.draw(st.sampled_from(FUNCTIONS))
            self.bind(bdf) if what == "bind" else self.unbind(bdf)

    def bind(self, bdf: str) -> None:
        model = self.model
        if not model.exists(bdf):
            assert self.bed.write("/sys/bus/pci/drivers/vfio-pci/bind", bdf) == "ENODEV"
            return
        busy = "EBUSY" if self.bed.has("bind_errno") else "ENODEV"
        assert self.bed.bind(bdf) == (busy if bdf in model.on_vfio else "OK")
        if bdf in PFS and bdf not in model.on_vfio:
            model.token[bdf] = None
        model.on_vfio.add(bdf)

    def unbind(self, bdf: str) -> None:
        """Only what nobody holds: the wait is another test's."""
        model = self.model
        gone = {bdf, *VFS.get(bdf, ())}
        if any(held in gone for _, held, _ in model.held.values()):
            return
        expected = "OK" if bdf in model.on_vfio else "ENODEV"
        assert self.bed.write("/sys/bus/pci/drivers/vfio-pci/unbind", bdf) == expected
        if expected == "OK":
            model.on_vfio -= gone
            if bdf in PFS:
                model.vfs[bdf] = 0

    def numvfs(self, pf: str, count: int) -> None:
        model = self.model
        if count == 0 and model.users(pf):
            return
        if count == model.vfs[pf]:
            expected = "OK"
        elif pf not in model.on_vfio:
            expected = "ENOENT"
        else:
            expected = "EBUSY" if count and model.vfs[pf] else "OK"
        assert self.bed.numvfs(pf, count) == expected
        if expected == "OK" and count != model.vfs[pf]:
            model.vfs[pf] = count
            model.on_vfio -= set(VFS[pf])
            model.on_vfio |= set(VFS[pf][:count])

    # -- opens -------------------------------------------------------------------------------------------------------
    @rule(target=references, program=st.sampled_from(PROGRAMS), bdf=st.sampled_from(FUNCTIONS), given=st.sampled_from(GIVEN))
    def open_group(self, program: str, bdf: str, given: str) -> int:
        model, token = self.model, self.model.pick(bdf, given)
        owners = model.holders(bdf)
        argument = bdf if token is None else f"{bdf} vf_token={token}"
        opened: list[int] = []
        found = answer(lambda: opened.append(self.programs[program].open_by_group(bdf, argument.encode()).fd))
        if not model.exists(bdf):
            assert found == "ENOENT iommu_group"
        elif bdf not in model.on_vfio:
            assert found == "ENOENT open_group"
        elif owners and (program, "group") not in owners:
            assert found == "EBUSY open_group"
        else:
            verdict = model.judge(bdf, token)
            assert found == ("OK" if verdict == "OK" else f"{verdict} get_device_fd")
        return self.note(program, bdf, "group", opened[0]) if opened else multiple()  # type: ignore[return-value]

    @precondition(lambda self: self.bed.cdev)
    @rule(target=references, program=st.sampled_from(PROGRAMS), bdf=st.sampled_from(FUNCTIONS), given=st.sampled_from(GIVEN))
    def open_cdev(self, program: str, bdf: str, given: str) -> int:
        model, token = self.model, self.model.pick(bdf, given)
        owners = model.holders(bdf)
        opened: list[int] = []
        secret = token.bytes if token is not None else None
        found = answer(lambda: opened.append(self.programs[program].open_by_cdev(bdf, secret).fd))
        if not model.exists(bdf) or bdf not in model.on_vfio:
            assert found == "ENOENT cdev_node"
        elif token is not None and not self.bed.has("cdev_token_works"):
            assert found == ("E2BIG" if self.bed.has("cdev_token") else "EINVAL") + " bind_iommufd"
        elif any(path != "cdev" for _, path in owners):
            assert found == "EBUSY bind_iommufd"
        else:
            verdict = model.judge(bdf, token) if self.bed.has("cdev_token") else "OK"
            if verdict == "OK" and owners:
                verdict = "EINVAL"
            assert found == ("OK" if verdict == "OK" else f"{verdict} bind_iommufd")
        return self.note(program, bdf, "cdev", opened[0]) if opened else multiple()  # type: ignore[return-value]

    # -- on open devices ---------------------------------------------------------------------------------------------
    @rule(target=references, reference=references, mapped=st.booleans())
    def copy(self, reference: int, mapped: bool) -> int:
        """A duplicate or a mapping. One of a group's device keeps device and group beyond the program's own use."""
        program, bdf, path = self.model.held.get(reference, ("", "", ""))
        if not program or self.fds[reference][1]:
            return multiple()  # type: ignore[return-value]
        kernel, fd = self.kernel(program), self.fds[reference][0]
        path = "cdev" if path == "cdev" else "leftover"
        return self.note(program, bdf, path, kernel.map(fd) if mapped else kernel.dup(fd), mapped)

    @precondition(lambda self: self.bed.has("vf_token"))
    @rule(reference=references, token=st.sampled_from((U1, U2)))
    def set_token(self, reference: int, token: UUID) -> None:
        program, bdf, _ = self.model.held.get(reference, ("", "", ""))
        if not program or self.fds[reference][1]:
            return
        fd, kernel = self.fds[reference][0], self.kernel(program)
        assert answer(kernel.feature, fd, VFIO_DEVICE_FEATURE_PROBE) == ("OK" if bdf in PFS else "ENOTTY")
        assert answer(kernel.feature, fd, VFIO_DEVICE_FEATURE_GET, token.bytes) == ("EINVAL" if bdf in PFS else "ENOTTY")
        assert answer(kernel.feature, fd, VFIO_DEVICE_FEATURE_SET, token.bytes) == ("OK" if bdf in PFS else "ENOTTY")
        if bdf in PFS:
            self.model.token[bdf] = token

    @rule(reference=consumes(references))
    def close(self, reference: int) -> None:
        program, bdf, path = self.model.held.pop(reference, ("", "", ""))
        if not program:
            return
        fd, mapped = self.fds.pop(reference)
        if mapped:
            self.kernel(program).unmap(fd)
        elif path == "group":
            self.programs[program].close(OpenDevice(bdf, fd, "group", self.programs[program].group_node(bdf)))
        else:
            self.kernel(program).close(fd)

    @rule(program=st.sampled_from(PROGRAMS))
    def end(self, program: str) -> None:
        self.kernel(program).exit()
        self.programs[program] = Program(self.bed.new_kernel(program))
        for reference in [key for key, (name, _, _) in self.model.held.items() if name == program]:
            del self.model.held[reference], self.fds[reference]

    # -- what always holds -------------------------------------------------------------------------------------------
    @invariant()
    def users_are_the_distinct_vfs_in_use(self) -> None:
        for pf in PFS:
            device = self.bed.machine.functions[pf].vfio
            if device is not None and device.token is not None:
                assert device.token.users == self.model.users(pf)
                known = self.model.token[pf]
                assert known is None or device.token.uuid == known.bytes

    @invariant()
    def sysfs_tells_the_same(self) -> None:
        for bdf in FUNCTIONS:
            assert self.bed.exists(bdf) == self.model.exists(bdf)
            if self.model.exists(bdf):
                assert (self.bed.driver(bdf) == "vfio-pci") == (bdf in self.model.on_vfio)

    @invariant()
    def nobody_waits(self) -> None:
        assert self.bed.machine.jobs == []

    def teardown(self) -> None:
        """When everybody has gone, nothing is left behind."""
        for program in PROGRAMS:
            self.kernel(program).exit()
        for function in self.bed.machine.functions.values():
            group, device = function.group, function.vfio
            assert device is None or (device.open_count, device.files) == (0, 0)
            assert device is None or device.token is None or device.token.users == 0
            assert group is not None
            assert (group.opened, group.container, group.cdev_bound) == (None, None, 0)


@pytest.mark.parametrize("release", ["5.10", "5.15", "5.19", "6.1", "6.6", "6.12", "6.17", "7.3"])
def test_the_model_predicts_every_answer(release: str) -> None:
    machine = type(f"Rules_{release.replace('.', '_')}", (Rules,), {"release": release})
    run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=40))
