"""Stage 2: training of a backbone, with data, batches, loop, logs, and evaluation during training."""
