"""Runs `tests/kernel` on real Linux kernels with emulated SR-IOV hardware.

    python tests/kernel/launch.py [--kernel 6.1|6.12|newest|VERSION|all|cdev-6.12|cdev-newest|cdev] [-- PYTEST ARGUMENTS]

Each kernel boots in QEMU over this machine's own root file system (read-only, by virtme-ng) and runs pytest with the project's
`.venv`. Nothing is needed but Debian 12 or 13, two cores and, the first time, the package mirror; KVM is used where there is one.

The kernels named cdev-... have the cdev path, which Debian's lack; `build.py` builds them, and does so here where there is none yet
(some 15 minutes). They are not among `all`.

Everything lives in `.cache/kernels/`: `LABEL/` is an unpacked kernel package (put one there by hand on other distributions),
`run/LABEL/` holds the last run: `output` (what pytest printed), `console` (what the kernel printed) and `artefacts/` (what tests
left in the folder that VFDECK_ARTEFACTS names). Variables called VFDECK_* are passed on to the guest, whose side is `guest.sh`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.kernel import build
from tests.kernel.kernels import Kernel, provide_kernel
from tests.kernel.packages import CACHE, REPO, Apt, BedError, missing, provide_tools, run, which

HERE = Path(__file__).resolve().parent
LABELS = ("6.1", "6.12", "newest")

VIRTME = "virtme-ng==1.42"
TOOLS = {"depmod": "kmod", "busybox": "busybox-static", "file": "file", "strings": "binutils", "tmux": "tmux"}
ADVICE = " (QEMU 8 or newer with the igb device; on Debian 12 from bookworm-backports)"

TRIES = 3
BOOT_LIMIT = 120.0  # seconds until the guest's script has begun; 10 is usual
PULSE_LIMIT = 90.0  # seconds without a pulse, which a living guest gives every 5

FAILURE_LINES = 40  # repeated at the end: in CI's log they would be far above

NATIVE_DRIVERS = ("igb", "igbvf", "e1000e", "nvme")


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How the tests went on one kernel."""

    name: str
    summary: str
    passed: bool
    seconds: float = 0.0
    boot_seconds: float = 0.0
    failures: tuple[str, ...] = ()  # pytest's lines about what failed


# ---------------------------------------------------------------------------------------------------------------------------------
# What is needed on the host


def missing_packages() -> list[str]:
    """Names Debian's packages of the tools that are not there (or are too old)."""
    packages = missing(TOOLS)
    qemu = which("qemu-system-x86_64")
    if not qemu or '"igb"' not in run(qemu, "-device", "help", failure="QEMU does not start"):
        packages.append("qemu-system-x86")
    return packages


def provide_virtme() -> Path:
    """Finds virtme-ng's command beside this Python or on the PATH, or installs it in an environment of its own."""
    own = CACHE / "virtme"
    for place in (Path(sys.executable).parent / "vng", own / "bin" / "vng"):
        if place.exists():
            return place
    if found := which("vng"):
        return Path(found)
    print(f"test bed: installing {VIRTME} in {own.relative_to(REPO)}", flush=True)
    failure = f"virtme-ng is missing (pip install {VIRTME})"
    run(sys.executable, "-m", "venv", "--clear", own, failure=failure)
    try:
        run(own / "bin" / "pip", "install", "--quiet", VIRTME, failure=failure)
    except BedError:
        shutil.rmtree(own, ignore_errors=True)
        raise
    return own / "bin" / "vng"


def project_python() -> Path:
    """The Python of the project's own environment."""
    python = REPO / ".venv" / "bin" / "python"
    if not python.exists():
        raise BedError("the project's environment is missing: run `make` first")
    return python


def kvm_usable() -> bool:
    """Tells whether the processor's own virtualisation can be used; `/dev/kvm` alone proves nothing inside a virtual machine."""
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    return bool(re.search(r"^flags\s*:.*\b(vmx|svm)\b", flags, re.MULTILINE)) and os.access("/dev/kvm", os.R_OK | os.W_OK)


# ---------------------------------------------------------------------------------------------------------------------------------
# The guest


def hardware() -> list[str]:
    """QEMU's options for the test bed's hardware: every function behind a root port of its own, so that the addresses are fixed."""
    options = ["-machine q35,kernel-irqchip=split", "-device intel-iommu,intremap=on,caching-mode=on"]
    options += [f"-device pcie-root-port,id=port{n},chassis={n},slot={n}" for n in (1, 2, 3, 4)]
    nvme = "sriov_max_vfs=8,sriov_vq_flexible=18,sriov_vi_flexible=9,max_ioqpairs=28,msix_qsize=20"
    options += [
        "-device igb,bus=port1",
        "-device igb,bus=port2",
        f"-device nvme-subsys,id=sub -device nvme,serial=vfdeck,subsys=sub,bus=port3,{nvme}",
        "-device e1000e,bus=port4",
    ]
    # The root file system once more, for guest.sh to mount it with a cache: Python starts five times as fast.
    options.append("-fsdev local,id=cached,path=/,security_model=none,readonly=on,multidevs=remap")
    options.append("-device virtio-9p-pci,fsdev=cached,mount_tag=cached")
    return options


def python_folders() -> list[str]:
    """Where the project's Python lies on disk: what guest.sh mounts with a cache."""
    code = "import os, sys; print(sys.base_prefix, os.path.dirname(os.__file__), os.path.realpath(sys.executable), sep='\\n')"
    prefix, *parts = run(project_python(), "-c", code, failure="the project's Python does not start").splitlines()
    return parts if prefix in ("/", "/usr") else [prefix]


def guest_command(out: Path, pytest_arguments: Sequence[str]) -> str:
    """The shell command that the guest runs: guest.sh with its environment and arguments."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("VFDECK_")}
    variables |= {"OUT": str(out), "REPO": str(REPO), "CACHED": ":".join([*python_folders(), str(REPO)])}
    named = any((REPO / argument.split("::")[0]).exists() for argument in pytest_arguments if argument)
    targets = [] if named else ["tests/kernel"]
    assignments = [f"{name}={value}" for name, value in sorted(variables.items())]
    return shlex.join(["env", *assignments, "sh", str(HERE / "guest.sh"), *targets, *pytest_arguments]) + "\n"


class Guest:
    """One boot of one kernel."""

    def __init__(self, vng: Path, kernel: Kernel, out: Path, command: str, kvm: bool) -> None:
        self.out = out
        shutil.rmtree(out, ignore_errors=True)
        (out / "artefacts").mkdir(parents=True)
        (out / "command").write_text(command, encoding="utf-8")
        words: list[str | Path] = [vng, "--run", kernel.image, "--disable-microvm", "--force-9p", "--verbose"]
        words += ["--memory", "2G", "--cpus", "1", f"--rwdir={out}"]
        words += [] if kvm else ["--disable-kvm"]
        # An emulated timer that is late under load makes the kernel panic at boot, unless it is told not to check it.
        boot = f"intel_iommu=on no_timer_check modprobe.blacklist={','.join(NATIVE_DRIVERS)}"
        words += ["--append", boot]
        words += [f"--qemu-opts={' '.join(hardware())}", "--exec", f"sh {shlex.quote(str(out / 'command'))}"]
        with (out / "console").open("wb") as console:
            self.process = subprocess.Popen(
                words,
                cwd=REPO,
                env={**os.environ, "PATH": f"{vng.parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self, name: str) -> str:
        """What a file of the run holds so far."""
        try:
            return (self.out / name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def show_console(self, label: str) -> None:
        """Prints the end of the console: where a run goes wrong in CI, nobody can look at the file."""
        for line in self.text("console").splitlines()[-20:]:
            say(label, "console: " + "".join(filter(str.isprintable, line)))

    def end(self) -> None:
        """Ends the guest, whatever it is doing."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Stalled(Exception):
    """A guest that gives no sign of life."""


class Runner:
    """Runs the tests on kernels, on several at a time where wanted."""

    def __init__(self, vng: Path, pytest_arguments: Sequence[str], limit: float) -> None:
        self.vng = vng
        self.pytest_arguments = pytest_arguments
        self.limit = limit
        self.stop = threading.Event()

    def test(self, kernel: Kernel) -> Outcome:
        """Boots a kernel and runs the tests there; a boot that stalls is tried again, the last times without KVM."""
        out = CACHE / "run" / kernel.label
        command = guest_command(out, self.pytest_arguments)
        why = ""
        for attempt in range(1, TRIES + 1):
            kvm = attempt == 1 and kvm_usable()
            say(
                kernel.label, f"booting Linux {kernel.release}, {'with' if kvm else 'no'} KVM, attempt {attempt} of at most {TRIES}"
            )
            began = time.monotonic()
            guest = Guest(self.vng, kernel, out, command, kvm)
            try:
                boot_seconds = self._follow(guest, kernel.label)
            except Stalled as stall:
                why = str(stall)
                say(kernel.label, why)
                guest.show_console(kernel.label)
                continue
            finally:
                guest.end()
            return judge(guest, kernel, time.monotonic() - began, boot_seconds)
        return Outcome(kernel.release, f"{why}, {TRIES} times; see {out.relative_to(REPO)}", passed=False)

    def _follow(self, guest: Guest, label: str) -> float:
        """Prints what the guest's tests print until they are done; returns how long the guest took to boot."""
        began = beat = time.monotonic()
        boot_seconds, pulse, printed = 0.0, "", 0
        while True:
            ended = guest.process.poll() is not None or guest.text("status") != ""
            lines = guest.text("output").splitlines(keepends=True)
            complete = [line.rstrip() for line in lines if ended or line.endswith("\n")]
            for line in complete[printed:]:
                say(label, line)
            printed = len(complete)
            now = time.monotonic()
            if (latest := guest.text("pulse")) != pulse:
                boot_seconds, pulse, beat = boot_seconds or now - began, latest, now
            if ended and not pulse:
                raise Stalled("the guest ended before its script began")
            if ended or self.stop.wait(0.3) or now - began > self.limit:
                return boot_seconds
            if now - beat > (PULSE_LIMIT if pulse else BOOT_LIMIT):
                raise Stalled(f"the guest stalled: no sign of life for {now - beat:.0f} s")


def say(label: str, line: str) -> None:
    """Prints a line with the kernel that it is about."""
    print(f"[{label}] {line}", flush=True)


def judge(guest: Guest, kernel: Kernel, seconds: float, boot_seconds: float) -> Outcome:
    """What the run came to: passed only if pytest says so and something was tested."""
    status = guest.text("status").strip()
    if not status:
        guest.show_console(kernel.label)
        how = "the time limit ended the guest" if guest.process.returncode == -signal.SIGKILL else "the guest died"
        return Outcome(
            kernel.release, f"{how} before the tests were done; see {guest.out.relative_to(REPO)}", False, seconds, boot_seconds
        )
    lines = [line for line in guest.text("output").splitlines() if line.strip()]
    summary = lines[-1] if lines else "nothing was printed"
    tested = re.search(r"\b\d+ (x?passed|failed|error|xfailed)", summary) is not None
    if status == "0" and not tested:
        summary += " (no test ran)"
    return Outcome(kernel.release, summary, status == "0" and tested, seconds, boot_seconds, failures(lines))


def failures(lines: Sequence[str]) -> tuple[str, ...]:
    """What pytest printed of each failure: its assertion ("E  ..."), and its line of the summary."""
    return tuple(line for line in lines if re.match(r"E   |FAILED |ERROR ", line))[-FAILURE_LINES:]


# ---------------------------------------------------------------------------------------------------------------------------------
# The command line


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Run tests/kernel on real kernels in virtual machines.")
    parser.add_argument(
        "--kernel",
        action="append",
        metavar="LABEL",
        help=f"{', '.join(LABELS)}, the start of another version that Debian has, or all of these (the default); "
        f"{', '.join(build.LABELS)} or cdev: kernels with the cdev path; may be given again",
    )
    parser.add_argument("--timeout", type=float, default=900, metavar="S", help="seconds that one kernel's run may take (900)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="kernels that run at the same time (one a core)"
    )
    parser.add_argument(
        "pytest", nargs="*", metavar="PYTEST ARGUMENT", help="after --: options for pytest, or tests other than tests/kernel"
    )
    options = parser.parse_args(arguments)
    labels = [label for label in options.kernel or ["all"] if label]
    several = {"all": LABELS, "cdev": build.LABELS}
    options.labels = list(dict.fromkeys(each for label in labels for each in several.get(label, (label,))))
    for label in options.labels:
        if not re.fullmatch(r"(cdev-)?(newest|\d+\.\d+[\w.+-]*)", label):
            parser.error(f"not a kernel: {label!r}")
    return options


def interrupt(signal_number: int, _frame: FrameType | None) -> None:
    """Makes the end by a signal an orderly one, so that no guest is left behind."""
    raise KeyboardInterrupt(signal_number)


def provide(label: str, apt: Apt) -> Kernel:
    """Finds a kernel, or gets it from Debian's packages or sources."""
    if label.startswith("cdev-"):
        return build.find_built(label) or build.build(label, apt)
    return provide_kernel(label, apt)


def test_all(options: argparse.Namespace) -> list[Outcome]:
    """Gets the tools and the kernels, and runs the tests on each."""
    project_python()
    apt = Apt()
    provide_tools(apt, missing_packages, ADVICE)
    runner = Runner(provide_virtme(), options.pytest, options.timeout)
    outcomes, kernels = [], []
    for label in options.labels:
        try:
            kernels.append(provide(label, apt))
        except BedError as error:
            outcomes.append(Outcome(label, str(error), passed=False))
    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        try:
            outcomes += pool.map(runner.test, kernels)
        finally:
            runner.stop.set()
    return outcomes


def main(arguments: Sequence[str]) -> int:
    """Runs it all; 0 if every kernel passed, 1 if one did not, 2 if something is missing."""
    signal.signal(signal.SIGTERM, interrupt)
    try:
        outcomes = test_all(parse(arguments))
    except BedError as error:
        print(f"test bed: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("test bed: interrupted", file=sys.stderr)
        return 130
    for outcome in outcomes:
        heading = f"Linux {outcome.name} (booted in {outcome.boot_seconds:.0f} s, {outcome.seconds:.0f} s in all)"
        print(heading, *outcome.failures, outcome.summary, sep="\n", flush=True)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
