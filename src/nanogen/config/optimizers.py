"""The optimizers of a backbone's training, by their names in ``training.optimizer.kind``.

To add one, write an entry here and the function that it names, which creates the optimizer from the
network and the section's keys (``nanogen.training.optimizer.Optimizing``).
"""

OPTIMIZERS = {
    "adamw": "nanogen.training.optimizer:all_adamw",
    "muon": "nanogen.training.optimizer:muon_and_adamw",
}
