"""Stage 1: tokenizers trained from images."""
