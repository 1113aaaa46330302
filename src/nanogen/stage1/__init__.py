"""Stage 1: tokenizers trained from images, autoencoders and the decoders of representation autoencoders."""
