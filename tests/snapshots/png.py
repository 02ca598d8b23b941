"""`python -m tests.snapshots.png [FOLDER]` turns screenshots/*.svg into PNG files, to be looked at."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import resvg_py

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"


def main() -> int:
    """Render every picture; the folder is printed."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="vfdeck-pictures-"))
    folder.mkdir(parents=True, exist_ok=True)
    for picture in sorted(SCREENSHOTS.glob("*.svg")):
        png = resvg_py.svg_to_bytes(svg_string=picture.read_text(encoding="utf-8"), monospace_family="DejaVu Sans Mono")
        (folder / picture.with_suffix(".png").name).write_bytes(bytes(png))
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
