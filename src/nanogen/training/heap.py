"""The C library's heap for networks on a CPU: kept, and in large pages.

Every step of a training asks for the same tensors and gives them back. By default the library returns
larger ones to the system each time, which zeroes their pages again when they are next touched; and with
pages of 4 KiB a step's tensors need more addresses than the processor remembers.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's parameters
BLOCK = 32 << 20  # bytes, the largest threshold that glibc accepts
BLOCKS = 24  # that may be made of large pages; memory that is not touched is not used
KEPT = 1 << 30  # bytes that stay in the heap although they are free, more than the blocks have
LARGE_PAGE = 2 << 20


def keep_in_large_pages() -> None:
    """Let this process keep what it frees, and its heap grow in large pages; without glibc nothing."""
    library = ctypes.CDLL(None)
    if sys.platform != "linux" or not hasattr(library, "gnu_get_libc_version"):
        return
    library.mallopt(TRIM_THRESHOLD, KEPT)
    library.mallopt(MMAP_THRESHOLD, BLOCK)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        _advise(library)


def _advise(library: ctypes.CDLL) -> None:
    """Extend the heap once, tell the system to use large pages there, and give it back to the heap."""
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    blocks = [library.malloc(BLOCK - LARGE_PAGE) for _ in range(BLOCKS)]
    for block in filter(None, blocks):
        start = -(-block // LARGE_PAGE) * LARGE_PAGE
        library.madvise(start, BLOCK - 2 * LARGE_PAGE, mmap.MADV_HUGEPAGE)
        library.free(block)
