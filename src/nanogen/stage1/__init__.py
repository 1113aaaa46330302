"""Stage 1: tokenizers trained from images, autoencoders and decoders of frozen encoders' features."""
