"""Memory of a training step: what one step frees is kept for the next."""

from __future__ import annotations

import ctypes
import sys

# From glibc's malloc.h. 32 MiB is the highest threshold that it takes; the activations of a batch are smaller.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEEP, _LARGEST = 2**31 - 1, 32 * 2**20


def keep_freed() -> bool:
    """Tell the C library's allocator to keep up to 2 GiB of freed memory, and say whether it took that.

    By default glibc returns the memory of large tensors to the system after every step and takes it anew in the next,
    page by page: on a CPU that costs about 5 % of a training of system A's network, and now and then much more.
    Only glibc has these two settings; other C libraries and systems are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(_TRIM_THRESHOLD, _KEEP)) and bool(library.mallopt(_MMAP_THRESHOLD, _LARGEST))
