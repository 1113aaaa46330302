"""Trackers, which show a training while it runs, by their names in ``training.trackers``.

To add one, write an entry here and the class that it names (``nanogen.stage2.tracking.Tracker``).
"""

TRACKERS = {
    "tensorboard": "nanogen.stage2.trackers.tensorboard:TensorBoard",
    "wandb": "nanogen.stage2.trackers.wandb:WeightsAndBiases",
}
