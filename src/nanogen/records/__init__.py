"""Records beside each output of a step: commit, device, time, and resources used."""
