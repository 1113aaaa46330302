"""Stage 2, training of a backbone: data, batches, loop, logs, and evaluation during training."""
