#!/bin/sh
# The guest's side of launch.py: sets the machine up and runs pytest.
# Usage: OUT=FOLDER REPO=FOLDER CACHED=PATH:PATH... guest.sh PYTEST-ARGUMENT...
# OUT, the one folder that outlives the guest, gets: output, pulse (grows while the guest lives), status (pytest's), artefacts/.
set -u

mkdir -p /run/out /run/cached /run/home
mount --bind "$OUT" /run/out
exec >/run/out/output 2>&1
(while echo . >>/run/out/pulse; do sleep 5; done) &

finish() {
    echo "$1" >/run/out/status
    exit
}
fail() {
    echo "guest.sh: $*"
    finish 125
}

# The project and its Python through a mount with a cache (the root has none: each start of Python would read everything again).
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose cached /run/cached || fail "no cached root file system"
IFS=:
for path in $CACHED; do
    mount --bind "/run/cached$path" "$path" || fail "cannot mount $path"
done
unset IFS OUT CACHED
cd "$REPO" || fail "no $REPO"

modprobe vfio-pci enable_sriov=1 && modprobe vfio_iommu_type1 || fail "no vfio-pci"

export VFDECK_GUEST=1 VFDECK_ARTEFACTS=/run/out/artefacts
export HOME=/run/home HYPOTHESIS_STORAGE_DIRECTORY=/run/home/hypothesis LANG=C.UTF-8 TERM=xterm-256color PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
unset XDG_RUNTIME_DIR

# Plug-ins that are not needed here are left out: each costs seconds of emulated processor.
.venv/bin/python -m pytest -p no:cacheprovider -p no:xdist -p no:textual-snapshot -p no:syrupy -p no:hypothesispytest \
    -o faulthandler_timeout=1200 "$@"
finish $?
