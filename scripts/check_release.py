"""Build a release and try it as strangers will get it.

    python scripts/check_release.py               # build, look, install, read a photo; resolve everything everywhere
    python scripts/check_release.py --no-resolve  # without the network's part
    python scripts/check_release.py --extras      # also install each extra by itself, which takes gigabytes

1. ``build`` makes sdist and wheel (the wheel from the sdist); ``twine check`` reads what the index will show.
2. The wheel must hold all of the package, weights, recipes and page among it, and no tests.
3. For every Python from 3.11 on that is there, the wheel goes into a fresh environment, where ``mien doctor`` and
   ``mien predict`` run outside of the repository.
4. uv resolves the base install and each extra for each Python, system and processor, wheels only.

Needs the extra release. Ends with 0 if all held, else with 1 after everything was tried; prints Markdown.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "astronaut.jpg"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux ARM": "aarch64-manylinux_2_28",
    "macOS x86-64": "x86_64-apple-darwin",
    "macOS ARM": "aarch64-apple-darwin",
    "Windows x86-64": "x86_64-pc-windows-msvc",
    "Windows ARM": "aarch64-pc-windows-msvc",
}
MACOS = "14.0"
"""The oldest macOS that is asked for; ONNX Runtime has no wheels for older ones."""

GAPS = {
    ("", "Windows ARM", ""): "opencv-python-headless",
    ("", "macOS x86-64", "3.14"): "onnxruntime",
    ("train", "macOS x86-64", ""): "torch",
    ("scale", "macOS x86-64", ""): "ray",
}
"""What cannot be had by (extra, platform, Python), empty for all of them, and the package that has no wheels there."""

failed: list[str] = []


def main() -> int:
    """Run all checks and return the exit code."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(Path(folder) / "dist")
        holds(wheel)
        environments(wheel, Path(folder), options.extras)
        if options.resolve:
            resolutions(options.pythons, Path(folder))
    for line in failed:
        sys.stderr.write(f"failed: {line}\n\n")
    return 1 if failed else 0


def arguments() -> Namespace:
    """Return the options."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-resolve", dest="resolve", action="store_false", help="leave out step 4")
    parser.add_argument("--extras", action="store_true", help="install each extra by itself too")
    parser.add_argument("--pythons", nargs="*", default=PYTHONS, help="versions to resolve for (default: all)")
    return parser.parse_args()


def called(what: str, *command: object, cwd: Path = ROOT) -> str | None:
    """Run a command; return what it printed, or None, noted, if it failed."""
    done = ended(*command, cwd=cwd)
    if done.returncode:
        failed.append(f"{what}: {(done.stderr or done.stdout).strip()}")
        return None
    return done.stdout


def ended(*command: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


def build(out: Path) -> Path:
    """Return the wheel, built from the sdist beside it. Ends the script where there is none."""
    called("build", sys.executable, "-m", "build", "--outdir", out)
    files = sorted(out.glob("*"))
    if len(files) != 2:
        sys.exit("\n".join(failed))
    fine = called("twine", sys.executable, "-m", "twine", "check", "--strict", *files) is not None
    print("| file | bytes | twine |\n|---|---|---|")
    for file in files:
        print(f"| `{file.name}` | {file.stat().st_size:,} | {'passed' if fine else 'failed'} |")
    return next(file for file in files if file.suffix == ".whl")


def holds(wheel: Path) -> None:
    """Note what the wheel lacks or has too much."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    source = ROOT / "src"
    files = (path for path in (source / "mien").rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    wanted = sorted(path.relative_to(source).as_posix() for path in files)
    failed.extend(f"{wheel.name} lacks {name}" for name in wanted if name not in names)
    failed.extend(f"{wheel.name} holds {name}" for name in names if not name.startswith(("mien/", "mien-")))


def environments(wheel: Path, folder: Path, extras: bool) -> None:
    """Install the wheel into a fresh environment of each Python that is there, and use it."""
    print("\n| Python | extra | installed | doctor | photo |\n|---|---|---|---|---|")
    for python in PYTHONS:
        found = ended("uv", "python", "find", "--no-project", "--no-python-downloads", python)
        if found.returncode:
            print(f"| {python} | | not on this machine | | |")
            continue
        for extra in ("", *(EXTRAS if extras else ())):
            done = tried(found.stdout.strip(), wheel, folder / f"{python}{extra}", extra)
            print(f"| {python} | {extra} | {' | '.join(done)} |")


def tried(python: str, wheel: Path, place: Path, extra: str) -> Iterator[str]:
    """Yield how installing, ``mien doctor`` and ``mien predict`` went."""
    what = f"Python {place.name}"
    called(what, "uv", "venv", "--no-project", "--python", python, place)
    own = place / ("Scripts" if sys.platform == "win32" else "bin")
    wanted = f"{wheel}[{extra}]" if extra else wheel
    done = called(what, "uv", "pip", "install", "--python", place, wanted)
    yield "failed" if done is None else "yes"
    done = called(what, own / "mien", "doctor", cwd=place)
    yield "failed" if done is None else "sound"
    done = called(what, own / "mien", "predict", PHOTO, "--format", "json", cwd=place)
    yield "failed" if done is None else ", ".join(face["emotion"] for face in json.loads(done)[0]["faces"])
    shutil.rmtree(place)


EXTRAS: tuple[str, ...] = tuple(
    name
    for name in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    if name not in ("test", "docs", "release")
)
"""The extras of users; those of developers are tested where they are used."""


def resolutions(pythons: Sequence[str], folder: Path) -> None:
    """Resolve the base install and each extra for each Python and platform, wheels only; print which can be had.

    Notes gaps that are not in ``GAPS``, and those of ``GAPS`` that are none any more.
    """
    print(f"\n| install | {' | '.join(PLATFORMS)} |\n|---|{'---|' * len(PLATFORMS)}")
    for extra in ("", *EXTRAS):
        cells = []
        for platform in PLATFORMS:
            missing = [python for python in pythons if not resolved(extra, python, platform, folder)]
            cells.append("all" if not missing else f"not {', '.join(missing)}")
        print(f"| {f'`[{extra}]`' if extra else 'base'} | {' | '.join(cells)} |", flush=True)


def resolved(extra: str, python: str, platform: str, folder: Path) -> bool:
    """Tell whether there are wheels for one Python and platform; note what ``GAPS`` does not know."""
    where = ["--python-version", python, "--python-platform", PLATFORMS[platform], "--only-binary", ":all:"]
    chosen = ["--extra", extra] if extra else []
    out = ["--quiet", "--no-header", "--no-annotate", "--output-file", folder / "pins.txt"]
    (folder / "pins.txt").unlink(missing_ok=True)
    done = ended("uv", "pip", "compile", "pyproject.toml", *chosen, *where, *out)
    known = lacking(extra, platform, python)
    what = f"[{extra}] on {platform} with Python {python}"
    expected = "wheels" in done.stderr and any(package in done.stderr for package in known)  # no broken network
    if done.returncode and not expected:
        failed.append(f"{what}: {done.stderr.strip()}")
    if known and not done.returncode:
        failed.append(f"{what} can be had now: take it out of GAPS and out of docs/release.md")
    return not done.returncode


def lacking(extra: str, platform: str, python: str) -> list[str]:
    """Return the packages that are known to have no wheels for this."""
    asked = (extra, platform, python)
    return [name for gap, name in GAPS.items() if all(one in ("", two) for one, two in zip(gap, asked, strict=True))]


if __name__ == "__main__":
    sys.exit(main())
