"""What `encode-*` writes and training reads: latents, features of texts and images."""
