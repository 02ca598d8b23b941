"""The kernels of the test bed: Debian's own, unpacked from their packages. Standard library only."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.kernel.packages import CACHE, REPO, Apt, BedError, run


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel."""

    label: str
    release: str
    image: Path


def numbers(text: str) -> tuple[int, ...]:
    """The numbers in a kernel's release, for sorting."""
    return tuple(int(number) for number in re.findall(r"\d+", text))


def find_release(label: str, packages: Sequence[str]) -> str:
    """The newest release among the packages' names that a label (`newest`, `6.12`, `6.12.107+deb12`) stands for."""
    releases = [found[1] for name in packages if (found := re.fullmatch(r"linux-image-(\d+\.\d+\.\d[^-]*(?:-\d+)?)-amd64", name))]
    if label != "newest":
        releases = [release for release in releases if re.match(rf"{re.escape(label)}(?![0-9])", release)]
    if not releases:
        raise BedError(f"no kernel package for {label!r}")
    return max(releases, key=numbers)


def provide_kernel(label: str, apt: Apt) -> Kernel:
    """Finds an unpacked kernel, or downloads and unpacks it, all or nothing."""
    target = CACHE / label
    if not target.exists():
        if not apt.usable:
            raise BedError(f"no apt here: unpack a kernel package by hand (dpkg -x) to {target.relative_to(REPO)}")
        release = find_release(label, apt.names("linux-image-"))
        print(f"test bed: downloading Linux {release} for {label}", flush=True)
        part = CACHE / f"{label}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for kind in ("image", "binary", "modules"):  # newer packages are split
            package = f"linux-{kind}-{release}-amd64"
            if package in apt.names(f"linux-{kind}-{release}"):
                apt.download(package, part)
        for file in sorted(part.glob("*.deb")):
            run("dpkg", "-x", file, part, failure=f"cannot unpack {file.name}")
            file.unlink()
        part.rename(target)
    return unpacked_kernel(label, target)


def unpacked_kernel(label: str, folder: Path) -> Kernel:
    """Looks for the image and the modules where Debian's packages put them."""
    for modules in folder.glob("**/lib/modules/*"):
        for image in (folder / "boot" / f"vmlinuz-{modules.name}", modules / "vmlinuz"):
            if image.exists():
                return Kernel(label, modules.name, image)
    raise BedError(f"no kernel in {folder.relative_to(REPO)}: delete it to have it downloaded again")
