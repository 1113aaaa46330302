"""How the learning rate falls, by the name in ``training.optimizer.schedule``.

A new one is an entry here and the function that it names: from the share of the decay's steps that are
done to the share of the way from the largest to the final rate, both from 0 to 1.
"""

SCHEDULES = {
    "linear": "nanogen.training.schedule:linear",
    "cosine": "nanogen.training.schedule:half_cosine",
}
