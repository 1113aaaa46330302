"""Schedules of the learning rate's decay, by their names in ``training.optimizer.schedule``.

To add one, write an entry here and the function that it names. It maps the completed fraction of the
decay, in [0, 1], to the fraction of the way from the largest to the final rate, also in [0, 1].
"""

SCHEDULES = {
    "linear": "nanogen.training.schedule:linear",
    "cosine": "nanogen.training.schedule:half_cosine",
}
