"""Stage 1: training of tokenizers on images."""
