"""Prompts of the text-to-image evaluation, and the questions that are asked about their images."""
