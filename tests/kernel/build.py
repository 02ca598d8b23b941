"""Builds small kernels that have what Debian's lack: IOMMUFD and VFIO_DEVICE_CDEV, for the tests of the cdev path.

    python tests/kernel/build.py [cdev-6.12|cdev-newest|cdev-VERSION]...

The sources are Debian's `linux-source-*` packages (cdev-6.12: a kernel that asks for no token on the cdev path; cdev-newest: one
that does), the configuration is `cdev.config` over `make allnoconfig`. A build takes some 15 minutes on two cores, once for each
version and configuration: what comes of it is kept in `.cache/kernels/cdev/`, laid out like an unpacked kernel package.
`launch.py --kernel cdev-newest` boots it, and builds it first where there is none. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.kernel.kernels import Kernel, numbers, unpacked_kernel
from tests.kernel.packages import CACHE, REPO, Apt, BedError, missing, provide_tools, run

LABELS = ("cdev-6.12", "cdev-newest")
CONFIG = Path(__file__).resolve().with_name("cdev.config")
BUILT = CACHE / "cdev"

#: cdev-newest has to know the token of VFIO_DEVICE_BIND_IOMMUFD.
TOKEN_SINCE = (6, 18, 3)

TOOLS = {
    "gcc": "gcc",
    "ld": "binutils",
    "make": "make",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "perl": "perl-base",
    "tar": "tar",
    "xz": "xz-utils",
    "gzip": "gzip",
    "nice": "coreutils",
    "depmod": "kmod",
    "dpkg": "dpkg",
}


def missing_packages() -> list[str]:
    """Names Debian's packages of the tools that are not there, and of libelf's header."""
    packages = missing(TOOLS)
    try:
        run("gcc", "-fsyntax-only", "-x", "c", "-include", "gelf.h", "/dev/null", failure="no libelf")
    except BedError:
        packages.append("libelf-dev")
    return packages


def fingerprint() -> str:
    """Stands for the configuration in the names of what was built."""
    return hashlib.sha256(CONFIG.read_bytes()).hexdigest()[:8]


def fits(label: str, version: str) -> bool:
    """Tells whether a version of a source package is one that a label stands for."""
    wanted = label.removeprefix("cdev-")
    if wanted == "newest":
        return numbers(version)[:3] >= TOKEN_SINCE
    return re.match(rf"{re.escape(wanted)}(?![0-9])", version) is not None


def find_built(label: str) -> Kernel | None:
    """The newest kernel for a label that was built with this configuration."""
    end = f"-{fingerprint()}"
    folders = BUILT.glob(f"*{end}") if BUILT.exists() else ()
    fitting = [folder for folder in folders if fits(label, folder.name.removesuffix(end))]
    return unpacked_kernel(label, max(fitting, key=lambda folder: numbers(folder.name.removesuffix(end)))) if fitting else None


def find_source(label: str, apt: Apt) -> tuple[str, str]:
    """The source package for a label, and its version."""
    if not apt.usable:
        raise BedError(f"no apt here: {label} is built from Debian's source packages")
    found = {name: apt.version(name) for name in apt.names("linux-source-") if re.fullmatch(r"linux-source-\d+\.\d+", name)}
    fitting = {name: version for name, version in found.items() if fits(label, version)}
    if not fitting:
        raise BedError(f"no kernel source package for {label!r}")
    package = max(fitting, key=lambda name: numbers(fitting[name]))
    return package, fitting[package]


def build(label: str, apt: Apt) -> Kernel:
    """Builds the newest kernel for a label, unless it has been built already."""
    package, version = find_source(label, apt)
    target = BUILT / f"{version}-{fingerprint()}"
    if not target.exists():
        provide_tools(apt, missing_packages)
        began = time.monotonic()
        tree = CACHE / "build" / version
        if not (tree / "Makefile").exists():
            unpack(package, apt, tree)
        configure(tree)
        print(f"test bed: building Linux {version} for {label}; some 15 minutes, log in {tree.relative_to(REPO)}.log", flush=True)
        make(tree, "bzImage", "modules")
        install(tree, target)
        shutil.rmtree(tree)
        print(f"test bed: built Linux {version} in {(time.monotonic() - began) / 60:.0f} minutes", flush=True)
    return unpacked_kernel(label, target)


def unpack(package: str, apt: Apt, tree: Path) -> None:
    """Downloads and unpacks a source package, all or nothing."""
    part = tree.with_name(f"{tree.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "tree").mkdir(parents=True)
    print(f"test bed: downloading {package}", flush=True)
    apt.download(package, part)
    for file in part.glob("*.deb"):
        run("dpkg", "-x", file, part, failure=f"cannot unpack {file.name}")
    run(
        "tar",
        "xf",
        part / f"usr/src/{package}.tar.xz",
        "-C",
        part / "tree",
        "--strip-components=1",
        failure=f"cannot unpack {package}",
    )
    (part / "tree").rename(tree)
    shutil.rmtree(part)


def configure(tree: Path) -> None:
    """Writes the kernel's configuration; what the source did not take as it was asked is an error."""
    make(tree, "allnoconfig", KCONFIG_ALLCONFIG=str(CONFIG))
    taken = set((tree / ".config").read_text(encoding="utf-8").splitlines())
    refused = [line for line in CONFIG.read_text(encoding="utf-8").splitlines() if line.startswith("CONFIG_") and line not in taken]
    if refused:
        raise BedError(f"{tree.name}: not taken from {CONFIG.name}: {' '.join(refused)}")


def make(tree: Path, *targets: str, **variables: str) -> None:
    """Runs make at the lowest priority; what it prints is in the log beside the tree."""
    words = [
        "nice",
        "-n",
        "19",
        "make",
        f"-j{os.cpu_count() or 1}",
        "KBUILD_BUILD_USER=vfdeck",
        "KBUILD_BUILD_HOST=vfdeck",
        *targets,
    ]
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    log = tree.with_name(f"{tree.name}.log")
    with log.open("ab") as file:
        done = subprocess.run(
            words,
            cwd=tree,
            env={**os.environ, **variables, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            check=False,
        )
    if done.returncode:
        raise BedError(f"make {' '.join(targets)} failed; see {log.relative_to(REPO)}")


def install(tree: Path, target: Path) -> None:
    """Puts image, modules and configuration where an unpacked kernel package would have them, all or nothing."""
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "boot").mkdir(parents=True)
    make(tree, "modules_install", INSTALL_MOD_PATH=str(part))
    (modules,) = (part / "lib" / "modules").iterdir()
    (modules / "build").unlink(missing_ok=True)  # a link to the tree
    shutil.copyfile(tree / "arch" / "x86" / "boot" / "bzImage", part / "boot" / f"vmlinuz-{modules.name}")
    shutil.copyfile(tree / ".config", part / "boot" / f"config-{modules.name}")
    part.rename(target)


def main(arguments: Sequence[str]) -> int:
    """Builds what is asked for; 0 if it is there, 2 if it could not be built."""
    parser = argparse.ArgumentParser(description="Build small kernels with IOMMUFD and VFIO_DEVICE_CDEV for the test bed.")
    parser.add_argument("labels", nargs="*", metavar="LABEL", help=f"{', '.join(LABELS)} (the default: both), or cdev-VERSION")
    labels = parser.parse_args(arguments).labels or list(LABELS)
    for label in labels:
        if not re.fullmatch(r"cdev-(newest|\d+\.\d+[\w.+-]*)", label):
            parser.error(f"not a kernel with the cdev path: {label!r}")
    try:
        for label in labels:
            kernel = build(label, Apt())
            print(f"{label}: Linux {kernel.release} in {kernel.image.parents[1].relative_to(REPO)}", flush=True)
    except BedError as error:
        print(f"test bed: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
