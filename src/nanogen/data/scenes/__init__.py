"""Drawn scenes: the small study's images with captions, masks and objects."""
