"""Put the mistakes of faults.toml into a copy of the source, one by one, and see whether the tests notice each.

    python scripts/fault_injection.py                      # all of them, minutes
    python scripts/fault_injection.py --only temperature   # those with this word in their name

First the tests must pass without a mistake. Exit code 1 if any mistake was not noticed. Needs the extra ``test``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_name("faults.toml")
COPIED = ("src", "tests", "benchmarks", "examples", "pyproject.toml")
PASSED, NOTICED = 0, 1
"""Exit codes of pytest; any other says that the tests did not run at all, which notices nothing."""


@dataclass(frozen=True)
class Fault:
    """A mistake: ``old``, which occurs once in ``file``, becomes ``new``; ``tests`` are pytest's arguments."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def faults(path: Path = LIST) -> list[Fault]:
    """Read the list of mistakes."""
    with path.open("rb") as file:
        return [Fault(**{**each, "tests": tuple(each["tests"])}) for each in tomllib.load(file)["fault"]]


def inject(fault: Fault, root: Path) -> str:
    """Write the mistake into the copy at ``root`` and return what the file held before."""
    path = root / fault.file
    before = path.read_text(encoding="utf-8")
    if before.count(fault.old) != 1:
        raise SystemExit(
            f"{fault.name}: {fault.old!r} stands {before.count(fault.old)} times in {fault.file}, not once."
        )
    path.write_text(before.replace(fault.old, fault.new), encoding="utf-8")
    return before


def tested(tests: Sequence[str], root: Path) -> int:
    """Run tests in the copy, to the first failure, and return pytest's exit code."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, check=False).returncode


def copy_to(folder: Path) -> Path:
    """Copy what the tests need into ``folder``."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def main() -> int:
    """Inject each mistake, print what came of it, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="mistakes with this word in their name")
    chosen = [each for each in faults() if parser.parse_args().only in each.name]
    with tempfile.TemporaryDirectory() as folder:
        root = copy_to(Path(folder))
        every = sorted({test for each in chosen for test in each.tests})
        if tested(every, root) != PASSED:
            raise SystemExit("The tests do not pass without a mistake; mend that first.")
        survived = [each.name for each in chosen if not _noticed(each, root)]
    print(f"{len(chosen) - len(survived)} of {len(chosen)} noticed")
    return 1 if survived else 0


def _noticed(fault: Fault, root: Path) -> bool:
    start, before = time.monotonic(), inject(fault, root)
    code = tested(fault.tests, root)
    (root / fault.file).write_text(before, encoding="utf-8")
    told = {PASSED: "SURVIVED", NOTICED: "noticed"}.get(code, f"DID NOT RUN (pytest's code {code})")
    print(f"{told:<10} {time.monotonic() - start:4.0f} s  {fault.name}", flush=True)
    return code == NOTICED


if __name__ == "__main__":
    sys.exit(main())
