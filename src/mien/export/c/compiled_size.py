"""Measure the flash and RAM that the C code needs, with the compiler's own ``size``."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mien.errors import ModelError

COMPILERS: dict[str, tuple[str, ...]] = {
    "arm-none-eabi-gcc": ("-mcpu=cortex-m7", "-mthumb"),
    "gcc": ("-fno-pie",),
}
"""Compilers in order of preference: a microcontroller's gives the exact sizes, the host's an approximation (without
``-fno-pie`` it would count constants that hold addresses as data)."""


@dataclass(frozen=True)
class Measured:
    """Bytes of code and constants (flash), of initialised data (flash and RAM) and of zeroed data (RAM)."""

    compiler: str
    text: int
    data: int
    bss: int

    @property
    def flash(self) -> int:
        """Bytes of flash."""
        return self.text + self.data

    @property
    def ram(self) -> int:
        """Bytes of RAM, without the stack."""
        return self.data + self.bss

    def __str__(self) -> str:
        return f"{self.flash} bytes of flash, {self.ram} of RAM by {self.compiler}"


def measure(source: Path) -> Measured | None:
    """Compile C99 code for size and measure it; None without a compiler.

    Raises:
        ModelError: the compiler rejects the code.
    """
    for name, target in COMPILERS.items():
        if shutil.which(name) and shutil.which(_sizer(name)):
            return _compile(source, name, target)
    return None


def _compile(source: Path, compiler: str, target: tuple[str, ...]) -> Measured:
    options = ("-std=c99", "-Os", *target)
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "model.o"
        _output(compiler, *options, "-c", str(source), "-o", str(compiled))
        counts = _output(_sizer(compiler), str(compiled)).splitlines()[1].split()[:3]
    version = _output(compiler, "-dumpfullversion").strip()
    text, data, bss = map(int, counts)
    return Measured(" ".join((compiler, version, *options)), text, data, bss)


def _sizer(compiler: str) -> str:
    return compiler.removesuffix("gcc") + "size"


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModelError(f"{command[0]} rejected the C code: {done.stderr[:500]} Report this as a bug of Mien.")
    return done.stdout
