"""Caches, which `encode-*` writes and training reads: latents, features of texts and of images."""

from __future__ import annotations


def check_latents(path: str, hash_: str) -> None:
    """Raise UserError unless ``path`` is a whole cache of latents of this hash."""
    from nanogen.caches.files import LatentFile

    LatentFile(path, hash_)
