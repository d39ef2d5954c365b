"""The ``mien`` command. ``main`` imports the module of the verb that was asked for, and no other.

A verb is a module with two functions: ``arguments(parser)`` declares its options, ``run(options)`` does the
work and returns the exit code. A new verb is such a module and a line in ``VERBS``.

The parser is argparse, at 6 ms. Typer 0.29, which parses through pydantic, was measured at 105 ms before the
first option is read, where NumPy, OpenCV and ONNX Runtime take 145 ms together.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

from mien.errors import MienError, MienWarning, OptionError, nearest

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from mien.cli.parser import Parser

    Run = Callable[[Namespace], int]

VERBS: dict[str, tuple[str, str]] = {
    "predict": ("mien.cli.predict", "Read the emotions in photos and folders."),
    "video": ("mien.cli.video", "Follow people through a film or a camera and read their emotions."),
    "watch": ("mien.cli.watch", "Show a camera live, with faces and emotions, in a window or the terminal."),
    "scale predict": ("mien.cli.scale_predict", "Read photos on many cores or machines, into Parquet files."),
    "explain": ("mien.cli.explain", "Show where in a face each emotion was read, and how far to believe it."),
    "explain-layers": (
        "mien.cli.learning.explain_layers",
        "Draw the filters and feature maps of a training run's network.",
    ),
    "explain-embedding": (
        "mien.cli.learning.explain_embedding",
        "Draw how a training run's network sorts faces: PCA, t-SNE.",
    ),
    "serve": ("mien.cli.serve", "Serve the API, the page and the live stream on an address of this computer."),
    "new": (
        "mien.cli.learning.new",
        "Start from photos of your own: classes of your own, a recipe, a model in minutes.",
    ),
    "train": ("mien.cli.learning.train", "Train a recipe and export what was trained."),
    "find-rate": ("mien.cli.learning.find_rate", "Find a learning rate: raise it step by step and watch the loss."),
    "tune": ("mien.cli.learning.tune", "Search a recipe's keys for the best validation accuracy."),
    "reproduce": (
        "mien.cli.learning.reproduce",
        "Run a published system's recipes: claimed, measured, why they differ.",
    ),
    "evaluate": ("mien.cli.learning.evaluate", "Measure a model on labelled crops or photos."),
    "audit": ("mien.cli.learning.audit", "Ask where a model fails: by slice of the faces, and on faces made worse."),
    "report": ("mien.cli.learning.report", "Write one page on a run: curves, confusions, confidence, failures."),
    "compare": ("mien.cli.learning.compare", "Write one page on several runs: intervals, classes, cost, significance."),
    "models": ("mien.cli.models", "List the models inside the package, or show what a model file says of itself."),
    "export": ("mien.cli.learning.export", "Write the model file of a training run."),
    "ensemble": ("mien.cli.learning.ensemble", "Write one model file that averages several models."),
    "data index": ("mien.cli.data.index", "Read corpora and write the manifest that later stages work on."),
    "data split": ("mien.cli.data.split", "Split a manifest: official, by image or by person, or in folds."),
    "data check": ("mien.cli.data.check", "Look for copies and people on both sides of a split."),
    "data explore": ("mien.cli.data.explore", "Show what a corpus holds: one page and its figures."),
    "data prepare": ("mien.cli.data.prepare", "Find and crop the faces of a corpus: grey, CLAHE, box, 48×48."),
    "data clean": ("mien.cli.data.clean", "Propose non-faces and doubtful labels for review."),
    "data apply-review": ("mien.cli.data.review", "Drop and relabel what a review list says."),
    "data preview": ("mien.cli.data.preview", "Show the batch that a recipe's network will see."),
    "bench": ("mien.cli.bench", "Time detector, network, photos and start on this machine, beside its peak."),
    "schema": ("mien.cli.schema", "Print the JSON Schema of a photo's or a video frame's result."),
    "completion": ("mien.cli.completion", "Print what makes bash, zsh or fish complete verbs and options."),
    "doctor": ("mien.cli.doctor", "Check this installation and say what is missing."),
}
"""Verb, of one word or two → the module that holds it, and the line that ``mien --help`` shows for it."""

DONE, FAILED, PARTLY, OUT_OF_MEMORY, INTERRUPTED, BROKEN_PIPE = 0, 2, 3, 4, 130, 141
"""Exit codes: all well; failed, see the message; some files unreadable; memory; Ctrl-C; reader of stdout gone."""

_HELP = """Usage: mien VERB [options]

Facial emotion recognition: photos in; boxes, emotions and probabilities out.

Verbs:
{verbs}

mien help VERB shows the options of a verb, mien --version the version.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code; ``argv`` leaves out the program's name.

    What Mien raises on purpose, and what the file system refuses, is one line on stderr and exit code 2.
    """
    _open_streams()
    _never_fail_on_letters()
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except MemoryError as error:
        return _fail(str(error) or "No memory left. Give less at once.", OUT_OF_MEMORY)
    except MienError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except OSError as error:
        return _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    return code


def script() -> NoReturn:
    """Run ``main`` as the whole process: the entry point of the console script.

    ``predict`` leaves without Python's clean-up, which frees for 25 ms what the system frees anyway, and without the
    threads that NumPy's OpenBLAS starts and keeps spinning on every core: it does no linear algebra in NumPy.
    """
    _shorten_warnings()
    if sys.argv[1:2] != ["predict"]:
        sys.exit(main())
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    code = main()
    sys.stderr.flush()
    os._exit(code)


def _shorten_warnings() -> None:
    """Let Mien's own warnings be one line on stderr, without the line of source that Python adds."""
    usual = warnings.showwarning

    def show(message: Warning | str, *rest: Any, **named: Any) -> None:
        if isinstance(message, MienWarning):
            sys.stderr.write(f"mien: warning: {one_line(str(message))}\n")
        else:
            usual(message, *rest, **named)

    warnings.showwarning = show


def one_line(text: str) -> str:
    """Return ``text`` with line breaks, control characters and invalid letters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _dispatch(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["help"] and arguments[1:]:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return DONE if arguments else FAILED
    if arguments[0] in ("-V", "--version"):
        from mien import __version__

        sys.stdout.write(f"mien {__version__}\n")
        return DONE
    if " ".join(arguments[:2]) in VERBS:
        return _run(" ".join(arguments[:2]), arguments[2:])
    group = [verb for verb in VERBS if verb.startswith(f"{arguments[0]} ")]
    if not group:
        return _run(arguments[0], arguments[1:])
    if arguments[1:2] in ([], ["-h"], ["--help"]):
        sys.stdout.write(_help(group))
        return DONE if arguments[1:] else FAILED
    raise OptionError(_no_verb(" ".join(arguments[:2]), group))


def _run(verb: str, arguments: Sequence[str]) -> int:
    parser, run = load_verb(verb)
    try:
        options = parser.parse(arguments)
    except SystemExit:  # argparse ends the process after --help; a function that returns a code must not
        return DONE
    return run(options)


def load_verb(verb: str) -> tuple[Parser, Run]:
    """Import the module of ``verb``; return its parser and its ``run``; ``OptionError`` if there is none."""
    if verb not in VERBS:
        raise OptionError(_no_verb(verb, list(VERBS)))
    from importlib import import_module

    from mien.cli.parser import Parser

    module = import_module(VERBS[verb][0])
    parser = Parser(verb, VERBS[verb][1], epilog=module.__doc__)
    module.arguments(parser)
    return parser, module.run


def _help(verbs: Sequence[str] = tuple(VERBS)) -> str:
    return _HELP.format(verbs="\n".join(f"  {verb:<19}{VERBS[verb][1]}" for verb in verbs))


def _no_verb(verb: str, allowed: list[str]) -> str:
    from mien.cli.words import VERBS as OTHERS
    from mien.formats import SUFFIXES
    from mien.recognition.sources import FILMS, is_address

    ending = os.path.splitext(verb)[1].lower()  # noqa: PTH122 - an address is no path
    if ending in FILMS:
        return f"no verb {verb!r}. For a film: mien video {verb}"
    if ending in SUFFIXES or is_address(verb) or os.path.exists(verb):  # noqa: PTH110 - answers False where pathlib raises
        return f"no verb {verb!r}. For photos: mien predict {verb}"
    if verb in OTHERS and OTHERS[verb] in allowed:
        return f"no verb {verb!r}. Did you mean {OTHERS[verb]!r}? See mien --help"
    return f"no verb {verb!r}; there are {', '.join(allowed)}.{nearest(verb, [*allowed, 'help'])}"


def _fail(message: str, code: int = FAILED) -> int:
    if "://" in message:
        from mien.addresses import hide_passwords

        message = hide_passwords(message)
    sys.stderr.write(f"mien: {one_line(message)}\n" if code == INTERRUPTED else f"mien: error: {one_line(message)}\n")
    return code


def _open_streams() -> None:
    """Put the null device where services, cron and ``pythonw`` leave a standard stream closed.

    The descriptors too: the next file that is opened would have the number of stdout, and be written to as such.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as Python runs


def _never_fail_on_letters() -> None:
    """Let a terminal that cannot show a file's name show its escape instead of ending the run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _silence_stdout() -> None:
    """Send what is still buffered to nowhere; Python would fail on it again as it flushes at its end."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
