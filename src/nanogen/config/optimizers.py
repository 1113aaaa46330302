"""The optimizers that a backbone is trained by, by the name in ``training.optimizer.kind``.

A new one is an entry here and the function that it names, which makes it of the network and the
section's keys (``nanogen.training.optimizer.Optimizing``).
"""

OPTIMIZERS = {
    "adamw": "nanogen.training.optimizer:all_adamw",
    "muon": "nanogen.training.optimizer:muon_and_adamw",
}
