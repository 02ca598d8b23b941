"""What the test bed takes from the host: programs, and Debian's packages where there is apt. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CACHE = REPO / ".cache" / "kernels"
SUITES = ("bookworm", "bookworm-backports", "trixie-backports")  # where Debian keeps the kernels
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class BedError(Exception):
    """Why the test bed cannot run, in one line that says what to do."""


def run(*command: str | Path, failure: str, folder: Path = REPO, **environment: str) -> str:
    """Runs a command quietly and returns what it printed; `failure` begins the message when it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError as error:
        raise BedError(f"{failure}: {command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        raise BedError(f"{failure}: {lines[-1] if lines else f'exit status {error.returncode}'}") from error
    return done.stdout


def which(name: str) -> str | None:
    """Finds a program, also where only root's PATH leads."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def missing(tools: Mapping[str, str]) -> list[str]:
    """The packages (values) of the programs (keys) that are not there."""
    return [package for tool, package in tools.items() if not which(tool)]


def provide_tools(apt: Apt, missing_packages: Callable[[], Sequence[str]], remark: str = "") -> None:
    """Installs what is missing where that is possible, and otherwise says what to install."""
    packages = missing_packages()
    if not packages:
        return
    advice = f"install {' '.join(packages)}{remark}"
    if os.geteuid() != 0 or not apt.usable:
        raise BedError(advice)
    print(f"test bed: installing {' '.join(packages)} with apt-get", flush=True)
    apt.install(packages)
    if missing_packages():
        raise BedError(advice)


class Apt:
    """Debian's packages, with lists and downloads in the cache folder: nothing of the machine's own apt settings is changed."""

    def __init__(self, folder: Path = CACHE / "apt") -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._ready = False

    @property
    def usable(self) -> bool:
        """Tells whether this machine has apt and trusts Debian's keys."""
        return bool(shutil.which("apt-get")) and KEYRING.exists()

    def install(self, packages: Sequence[str]) -> None:
        """Installs packages on the machine, from its release's backports where they are newer."""
        backports = f"{self._codename()}-backports"
        target = [f"--target-release={backports}"] if backports in SUITES else []
        self._call("apt-get", "install", "--yes", "--no-install-recommends", *target, *packages)

    def names(self, start: str) -> list[str]:
        """The packages whose names begin so."""
        return self._call("apt-cache", "pkgnames", start).split()

    def version(self, package: str) -> str:
        """The version of a package that would be downloaded."""
        found = re.search(r"^Version: (\S+)$", self._call("apt-cache", "show", "--no-all-versions", package), re.MULTILINE)
        if found is None:
            raise BedError(f"apt knows no version of {package}")
        return found[1]

    def download(self, package: str, folder: Path) -> None:
        """Puts a package file into a folder."""
        self._call("apt-get", "download", package, folder=folder)

    def _call(self, *command: str, folder: Path = REPO) -> str:
        with self._lock:
            if not self._ready:
                self._prepare()
        return run(
            *command,
            failure=" ".join(command[:2]),
            folder=folder,
            APT_CONFIG=str(self.folder / "apt.conf"),
            DEBIAN_FRONTEND="noninteractive",
        )

    def _prepare(self) -> None:
        for name in ("lists/partial", "archives/partial", "parts"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "sources.list").write_text("".join(f"{line}\n" for line in self._sources()), encoding="utf-8")
        (self.folder / "apt.conf").write_text(
            f'Dir::Etc::sourcelist "{self.folder}/sources.list";\n'
            f'Dir::Etc::sourceparts "{self.folder}/parts";\n'
            f'Dir::State::lists "{self.folder}/lists";\n'
            f'Dir::Cache "{self.folder}";\n'
            'APT::Sandbox::User "root";\n',
            encoding="utf-8",
        )
        self._ready = True
        run("apt-get", "update", failure="apt-get update", APT_CONFIG=str(self.folder / "apt.conf"))

    def _sources(self) -> Iterator[str]:
        """The suites that are wanted, at the mirrors that the machine's own apt uses."""
        codename = self._codename()
        rows = run(
            "apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages", failure="apt-get indextargets"
        )
        mirrors = dict(line.split(" ", 1) for line in rows.splitlines())
        main, security = mirrors.get(codename), mirrors.get(f"{codename}-security")
        if not codename or not main:
            raise BedError(
                "apt knows no mirror of this Debian release; unpack kernel packages by hand (dpkg -x) to .cache/kernels/LABEL"
            )
        for suite in sorted({codename, *SUITES}):
            yield f"deb [signed-by={KEYRING}] {main} {suite} main"
        for suite in sorted({codename, "bookworm"}) if security else ():
            yield f"deb [signed-by={KEYRING}] {security} {suite}-security main"

    @staticmethod
    def _codename() -> str:
        found = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(encoding="utf-8"), re.MULTILINE)
        return found[1] if found else ""
