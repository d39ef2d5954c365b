"""Environments made from packages at run time: uv where it is installed, else venv and pip; npm for Node."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peers.catalogue import HERE, Environment, Peer

_NOT_THEIRS = ("pip", "setuptools", "wheel", "_distutils_hack")


@dataclass(frozen=True)
class Made:
    """An environment on disk, or why there is none.

    size: bytes of the packages' files, without bytecode and without Python or Node themselves.
    """

    folder: Path
    failure: str = ""
    size: int = 0

    def command(self, peer: Peer, *words: str) -> list[str]:
        """Return the command that runs a peer's worker with ``words`` before the peer's own options."""
        if peer.environment.node:
            return ["node", "--no-warnings", str(HERE / "worker.cjs"), str(self.folder), peer.worker, *words]
        return [str(_python(self.folder)), "-I", str(HERE / "worker.py"), peer.worker, *words, *peer.options]

    def script(self, name: str) -> str:
        """Return the path of a console script in the environment."""
        return str(_python(self.folder).with_name(name))


def make(environment: Environment, folder: Path) -> Made:
    """Make the environment below ``folder``, or take the one that an earlier run finished there."""
    place = folder / environment.name
    finished = place / "finished.txt"
    asked = "\n".join((*environment.python, *environment.node))
    if not (finished.is_file() and finished.read_text("utf-8") == asked):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        failure = _node(place, environment.node) if environment.node else _packages(place, environment.python)
        if failure:
            return Made(place, failure)
        finished.write_text(asked, "utf-8")
    return Made(place, size=_size(place))


def _packages(place: Path, packages: Sequence[str]) -> str:
    uv = shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)
    if uv:
        make_one, install = (
            [uv, "venv", "-q", "--python", sys.executable, str(place / "env")],
            [uv, "pip", "install", "-q"],
        )
        return _run(make_one) or _run([*install, "--python", str(_python(place)), *packages])
    venv.create(place / "env", with_pip=True)
    return _run([str(_python(place)), "-m", "pip", "install", "-q", *packages])


def _node(place: Path, packages: Sequence[str]) -> str:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "Node and npm are not installed"
    (place / "package.json").write_text('{"private": true}', "utf-8")
    return _run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(place), *packages])


def _run(command: Sequence[str]) -> str:
    """Run; return why it failed, '' if it did not."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
    return lines[-1] if done.returncode else ""


def _python(place: Path) -> Path:
    return place / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _size(place: Path) -> int:
    if (place / "node_modules").is_dir():
        packages = [place / "node_modules"]
    else:
        (site,) = (place / "env").glob("Lib/site-packages" if sys.platform == "win32" else "lib/python*/site-packages")
        packages = [path for path in site.iterdir() if path.name.split("-")[0] not in _NOT_THEIRS]
    files = (file for path in packages for file in ([path] if path.is_file() else path.rglob("*")))
    return sum(file.stat().st_size for file in files if file.is_file() and "__pycache__" not in file.parts)
