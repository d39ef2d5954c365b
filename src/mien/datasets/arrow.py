"""PyArrow, or the pip command that installs it."""

from __future__ import annotations

from mien.errors import MissingExtraError

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet
except ImportError as error:
    raise MissingExtraError.for_extra("Reading corpora", "train") from error

__all__ = ["pa", "parquet", "pc"]
