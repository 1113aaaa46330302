"""Prompts of the text-to-image evaluation, and questions about their images."""
