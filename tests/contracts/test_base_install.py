"""The base install is tested without the extras: its tests pass where no other package can be imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_light_half_passes_where_no_extra_is_there() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_", "MIEN_"))}
    environment = {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT / "tests")}
    plugins = ["-p", "bare", "-p", "xdist.plugin", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, "--ignore", __file__]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    told = re.search(r"(\d+) passed", done.stdout)
    assert told is not None
    assert int(told[1]) >= 900
    assert re.search(r"SKIPPED .*tests/training/test_fit\.py.*No module named 'torch'", done.stdout)
