"""Frozen networks: how the small study's stand-ins are trained, and how any is loaded safely."""
