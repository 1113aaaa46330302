"""What shows a training while it runs, by the name in ``training.trackers``.

A new one is an entry here and the class that it names (``nanogen.stage2.tracking.Tracker``).
"""

TRACKERS = {
    "tensorboard": "nanogen.stage2.trackers.tensorboard:TensorBoard",
    "wandb": "nanogen.stage2.trackers.wandb:WeightsAndBiases",
}
