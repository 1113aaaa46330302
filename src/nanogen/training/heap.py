"""Tune the C library's heap for networks on a CPU: keep freed memory, and use huge pages.

Every training step allocates and frees the same tensors. By default the library returns large ones to
the system each time, which zeroes their pages again at the next access. With pages of 4 KiB, a step's
tensors also need more address translations than the processor caches.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt's parameters
BLOCK = 32 << 20  # bytes, the largest threshold that glibc accepts
BLOCKS = 24  # blocks that may use huge pages; untouched memory takes no space
KEPT = 1 << 30  # bytes of free memory that stay in the heap, more than all blocks
LARGE_PAGE = 2 << 20


def keep_in_large_pages() -> None:
    """Make this process keep freed memory and use huge pages. Does nothing without glibc."""
    library = ctypes.CDLL(None)
    if sys.platform != "linux" or not hasattr(library, "gnu_get_libc_version"):
        return
    library.mallopt(TRIM_THRESHOLD, KEPT)
    library.mallopt(MMAP_THRESHOLD, BLOCK)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        _advise(library)


def _advise(library: ctypes.CDLL) -> None:
    """Extend the heap once, advise the system to use huge pages for it, and free it again."""
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    blocks = [library.malloc(BLOCK - LARGE_PAGE) for _ in range(BLOCKS)]
    for block in filter(None, blocks):
        start = -(-block // LARGE_PAGE) * LARGE_PAGE
        library.madvise(start, BLOCK - 2 * LARGE_PAGE, mmap.MADV_HUGEPAGE)
        library.free(block)
