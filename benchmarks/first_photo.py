"""What one photo costs from the command line, as a multiple of importing the libraries it needs.

    python benchmarks/first_photo.py [--runs 15]

Runs `python -c "import numpy, cv2, onnxruntime, PIL"` and `mien predict examples/astronaut.jpg` in turn, each as a
whole process, and prints the medians and the median of the pairwise ratios. Then the import time of `mien` itself.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

PHOTO = Path(__file__).parents[1] / "examples" / "astronaut.jpg"
IMPORTS = [sys.executable, "-c", "import numpy, cv2, onnxruntime, PIL"]
# As installed by pip: compiled once, not at every start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
PREDICT = [str(Path(sysconfig.get_path("scripts")) / "mien"), "predict", str(PHOTO)]


def seconds(command: list[str]) -> float:
    """Return the wall time of one run of ``command``."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    return time.perf_counter() - begun


def own_import_ms() -> float:
    """Return the milliseconds that `import mien` takes by ``-X importtime``."""
    command = [sys.executable, "-X", "importtime", "-c", "import mien"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    found = re.search(r"\|\s*(\d+) \| mien$", lines, re.M)
    if found is None:
        raise SystemExit(f"no line for mien in:\n{lines}")
    return int(found[1]) / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    seconds(IMPORTS), seconds(PREDICT)
    pairs = [(seconds(IMPORTS), seconds(PREDICT)) for _ in range(runs)]
    imports, predict = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"imports {imports:.3f} s   mien predict {predict:.3f} s   ratio {ratio:.2f} (bar: 1.6)")
    print(f"import mien {statistics.median(own_import_ms() for _ in range(5)):.1f} ms (bar: 20)")


if __name__ == "__main__":
    main()
