"""Stage 2: training of a backbone: its data, batches, loop, what is noted and evaluated on the way."""
