"""Memory allocation in training: keep the memory that one step frees for the next."""

from __future__ import annotations

import ctypes
import sys

# From glibc's malloc.h. 32 MiB is the highest threshold that it accepts; the activations of a batch are smaller.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEEP, _LARGEST = 2**31 - 1, 32 * 2**20


def keep_freed() -> bool:
    """Make the C library's allocator keep up to 2 GiB of freed memory; return whether it accepted the setting.

    By default glibc returns the memory of large tensors to the system after every step and requests it again in the
    next, page by page: on a CPU that costs about 5 % of training system A's network, and occasionally much more.
    Only glibc has these two settings; other C libraries and systems are left unchanged.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(_TRIM_THRESHOLD, _KEEP)) and bool(library.mallopt(_MMAP_THRESHOLD, _LARGEST))
