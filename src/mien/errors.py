"""The error tree: everything that Mien raises on purpose.

Each message says what was given, what was expected and what to do about it. Every leaf also inherits the
builtin that a caller would try first, so ``except ValueError`` and ``except MienError`` both work.
"""


class MienError(Exception):
    """Any error that Mien raises on purpose; catch this to catch them all."""


class MienWarning(RuntimeWarning):
    """Something that Mien works around, such as a GPU that does not start; the message says why and what to do."""


class ImageError(MienError, ValueError):
    """A picture that cannot be used: unreadable, truncated, too large, or an array of the wrong kind."""


class VideoError(MienError, ValueError):
    """A film or camera that cannot be used: damaged, without pictures, gone; or one that cannot be written."""


class VideoLimitError(VideoError):
    """A film that has more than it may have.

    Args:
        message: for people.
        limit: what is limited: ``seconds``, ``frames``, ``read_frames``, ``pixels`` of a frame or ``result_bytes``.
        most: what is allowed.
        given: what the film has; where reading stopped at the limit, what was reached, so that it has at least this.
    """

    def __init__(self, message: str, limit: str, most: float, given: float) -> None:
        super().__init__(message)
        self.limit, self.most, self.given = limit, most, given

    def to_dict(self) -> dict[str, str | float]:
        """Return the limit, what is allowed, and what was given, as JSON-ready values."""
        return {"limit": self.limit, "most": self.most, "given": self.given}


class FileMissingError(MienError, FileNotFoundError):
    """A path that does not exist, or a folder that holds nothing of use."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ModelError(MienError, ValueError):
    """A model file that is foreign, damaged, or of another schema version."""


class OptionError(MienError, ValueError):
    """A setting outside its allowed values; the message names the nearest right one where there is one."""


class RecipeError(OptionError):
    """A training recipe with an unknown key, a wrong type or an impossible value."""


class DataError(MienError, ValueError):
    """A corpus that does not have the layout its reader expects."""


class TrainingError(MienError, RuntimeError):
    """A training run that cannot go on, such as a non-finite loss."""


class ClusterError(MienError, RuntimeError):
    """A Ray cluster that does not answer, or whose workers end without saying why."""


class OutOfMemoryError(MienError, MemoryError):
    """Memory that the system would not give; the file at hand may be whole."""


class MissingExtraError(MienError, ImportError):
    """A feature that needs an extra which is not installed; the message holds the pip command."""

    @classmethod
    def for_extra(cls, feature: str, extra: str) -> "MissingExtraError":
        """Build the message for ``feature``, which lives in ``mien[extra]``."""
        return cls(f"{feature} needs packages that the base install leaves out. Run: {install_command(extra)}")


def install_command(extra: str) -> str:
    """Return the pip command that adds an extra to this installation, where that came from a checkout from there."""
    from_index = f"pip install 'mien[{extra}]'"
    checkout, editable = _checkout()
    if not checkout:
        return from_index
    return f"pip install {'-e ' if editable else ''}'{checkout}[{extra}]' (from an index: {from_index})"


def _checkout() -> tuple[str, bool]:
    """Return the folder that Mien was installed or is run from, '' for none, and whether its changes take effect."""
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    root = Path(__file__).parents[2]
    if (root / "pyproject.toml").is_file() and (root / "src" / "mien").is_dir():
        return str(root), True
    try:
        origin = json.loads(distribution("mien").read_text("direct_url.json") or "{}")  # PEP 610
    except (PackageNotFoundError, ValueError):
        return "", False
    parts = urlsplit(origin.get("url", ""))
    folder = url2pathname(parts.path) if parts.scheme == "file" and "dir_info" in origin else ""
    return (folder, False) if folder and Path(folder).is_dir() else ("", False)


def nearest(given: str, allowed: "list[str] | tuple[str, ...]", *, cutoff: float = 0.5) -> str:
    """Return `` Did you mean 'x'?`` for the closest of ``allowed``, or an empty string if none is close.

    Args:
        cutoff: how alike two words must be, 0 to 1.
    """
    import difflib

    close = difflib.get_close_matches(given, allowed, n=1, cutoff=cutoff)
    return f" Did you mean {close[0]!r}?" if close else ""
