"""PATH is a photo, a folder (searched through all levels) or a pattern ('photos/*.jpg').

For each photo FOLDER gets a picture (.png) with the maps of the classes side by side, and their numbers (.json). The
score is the deletion area of random maps minus the map's own: at or below 0 the map explains nothing, pretty or not.

Exit codes: 0 all explained; 2 failed, the message says why; 3 some files unreadable, listed last; 130 Ctrl-C.

Next: mien explain photos --classes happiness,anger --out explained
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli import DONE, PARTLY, one_line
from mien.cli.parser import count, detection_arguments, device_argument, one_of
from mien.cli.writing.output import described
from mien.cli.writing.targets import mirrored
from mien.drawing.percents import percent
from mien.errors import FileMissingError, ImageError, MissingExtraError, OptionError
from mien.files import LONGEST_NAME, appearing
from mien.recognition.listing import list_photos

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mien.interpret.explain import Explainer, Explanation
    from mien.recognition.recognizer import Recognizer

METHODS = ("occlusion", "grad-cam", "layer-cam", "integrated-gradients")

_LONGEST = LONGEST_NAME - 1  # bytes of a picture's name: that of the numbers beside it ends in .json


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien explain``."""
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="photo, folder or pattern")
    add("--classes", type=wanted, default=1, metavar="C", help="happiness,anger or top3 (default: top1)")
    add("--method", type=one_of(*METHODS), default="occlusion", metavar="H", help=_METHOD_HELP)
    add("--model", default="default", metavar="M", help="name (see mien models), .onnx file or run folder")
    add("--layer", default="", metavar="L", help="layer of grad-cam or layer-cam (default: chosen by its size)")
    detection_arguments(parser)
    add("--threads", type=count, metavar="N", help="threads of the networks (default: one a core)")
    device_argument(parser)
    add("--quiet", action="store_true", help="no lines on stdout and no notes on stderr, errors only")
    add("--out", type=Path, default=Path("explained"), metavar="FOLDER", help="where to (default: explained)")


_METHOD_HELP = (
    "occlusion (default) works with every model; grad-cam, layer-cam and integrated-gradients need --model RUN, the "
    "folder of a training run, and pip install 'mien[train]'"
)


def wanted(text: str) -> int | tuple[str, ...]:
    """Read ``top3`` as a number of classes and ``happiness,anger`` as their names, as an argparse type."""
    from mien.interpret import explain

    try:
        return explain.wanted(text)
    except OptionError as error:
        raise ArgumentTypeError(str(error)) from None


def run(options: Namespace) -> int:
    """Explain the photos that ``options`` name; return the exit code."""
    if options.layer and options.method not in ("grad-cam", "layer-cam"):
        raise OptionError(f"--layer goes with --method grad-cam or layer-cam, not with {options.method}; leave it out.")
    listing = list_photos(options.paths)
    sources = [str(path) for path in listing.photos]
    repeated = _repeated(sources)
    names = mirrored(
        options.paths, sources, options.out, "--out", lambda path: _named(path, repeated), longest=_LONGEST
    )
    recognizer, explainer = _load(options)
    unreadable = []
    for source in sources:
        try:
            explanation = _explained(recognizer, explainer, source, options)
        except (ImageError, FileMissingError) as error:
            unreadable.append(f"{error}" if source in str(error) else f"{source}: {error}")
            continue
        _write(explanation, names[source])
        if not options.quiet:
            sys.stdout.writelines(_lines(explanation))
    if len(unreadable) < len(sources) and not options.quiet:
        sys.stdout.write(f"Pictures and numbers: {options.out}\n")
    if listing.passed_over and not options.quiet:
        sys.stderr.write(f"mien: note: {one_line(described(listing.passed_over))}\n")
    sys.stderr.writelines(f"mien: unreadable: {one_line(reason)}\n" for reason in unreadable)
    return PARTLY if unreadable else DONE


def _repeated(sources: Sequence[str]) -> set[str]:
    """Return the paths, without their endings, that several photos share, such as a.jpg and a.png."""
    counts = Counter(str(Path(source).with_suffix("")).casefold() for source in sources)
    return {Path(name).name for name, times in counts.items() if times > 1}


def _named(path: Path, repeated: set[str]) -> Path:
    """Return ``a.png`` for ``a.jpg``, and ``a.jpg.png`` where another photo would have that name too."""
    keep = path.stem.casefold() in repeated or not path.suffix
    return path.with_name(path.name + ".png") if keep else path.with_suffix(".png")


def _load(options: Namespace) -> tuple[Recognizer, Explainer | None]:
    from mien.interpret.explain import class_indices
    from mien.recognition.recognizer import load

    run = Path(options.model)
    explainer = None if options.method == "occlusion" else _gradients(run, options)
    limits = {name: getattr(options, name) for name in ("threads", "device", "max_faces", "min_size", "threshold")}
    recognizer = load(options.model, detector=options.detector, **limits)
    import numpy as np

    class_indices(recognizer, options.classes, np.zeros(len(recognizer.labels)))  # a wrong word stops it here
    return recognizer, explainer


def _gradients(run: Path, options: Namespace) -> Explainer:
    if not run.is_dir():
        raise OptionError(
            f"--method {options.method} needs gradients, which the model {options.model!r} does not hold: give --model "
            "RUN, the folder of a training run, or take --method occlusion."
        )
    try:
        from mien.interpret.gradients import of_run
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"--method {options.method} (no {error.name})", "train") from error
    return of_run(run, options.method, options.layer)


def _explained(recognizer: Recognizer, explainer: Explainer | None, source: str, options: Namespace) -> Explanation:
    from mien.interpret.explain import explain_image

    return explain_image(recognizer, source, options.classes, explainer=explainer)


def _write(explanation: Explanation, picture: Path) -> None:
    picture.parent.mkdir(parents=True, exist_ok=True)
    with appearing(picture) as draft:
        explanation.draw().save(draft, format="PNG")
    numbers = json.dumps(explanation.to_dict(), ensure_ascii=False) + "\n"
    with appearing(picture.with_suffix(".json")) as draft:
        draft.write_text(numbers, encoding="utf-8", errors="surrogateescape")


def _lines(explanation: Explanation) -> Iterator[str]:
    name = one_line(str(explanation.result.source))
    if not explanation.maps:
        yield f"{name}  no face\n"
    for position, maps in enumerate(explanation.maps, 1):
        for one in maps:
            measured = one.faithfulness
            verdict = "" if measured.explains else "  explains nothing"
            score = f"score {measured.score:+.2f} (deletion {measured.deletion:.2f}, random {measured.chance:.2f})"
            yield f"{name}  face {position}  {one.label} {percent(one.probability)}  {score}{verdict}\n"
