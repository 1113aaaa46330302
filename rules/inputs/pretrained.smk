# Input and parameter functions of the rules for the frozen networks.


def training_images(split):
    """Return an input function for the images of this split that a model is trained on."""
    return lambda wildcards: PATHS.data(MODELS[wildcards.model].data, split)
