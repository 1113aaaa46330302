"""Caches of latents, text features and image features, written by `encode-*` and read by training."""

from __future__ import annotations


def check_latents(path: str, hash_: str) -> None:
    """Raise UserError unless ``path`` is a complete cache of latents with this hash."""
    from nanogen.caches.files import LatentFile

    LatentFile(path, hash_)
