# What the rules of the frozen networks read: input and parameter functions.


def training_images(split):
    """Images of the task that a model is trained on."""
    return lambda wildcards: PATHS.data(MODELS[wildcards.model].data, split)
