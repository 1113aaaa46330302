"""What is noted beside each output of a step: commit, device, time, what it used."""
