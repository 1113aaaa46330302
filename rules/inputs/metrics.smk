# What the rules of the scores read: input and parameter functions.


EXTRACTORS = RUNS[FIRST, STUDY.tasks[0]].evaluation.extractors
DISTRIBUTION = stages.metrics_of(STUDY, "imagenet")


def extractor_cards(wildcards):
    return [PATHS.model_card(name) for name in EXTRACTORS]


def extractor_options(wildcards, input):
    folders = (quote(str(Path(card).parent)) for card in input.extractors)
    return " ".join(f"--extractor {n}={f}" for n, f in zip(EXTRACTORS, folders))


def reference_images(wildcards):
    """Named inputs: the real images, by split."""
    return {split: PATHS.data("imagenet", split) for split in stages.reference_splits(STUDY)}


def reference_options(wildcards, input):
    return " ".join(f"--{split} {quote(input[split])}" for split in stages.reference_splits(STUDY))


TEXT_TO_IMAGE = stages.metrics_of(STUDY, "t2i") if "t2i" in STUDY.tasks else []
CAPTIONS = [name.removeprefix("fid_") for name in TEXT_TO_IMAGE if name.startswith("fid_")]


def measuring(task):
    """Makes the configurations of all stages that measure a sample set of a task."""
    return lambda study, method, variant: stages.measuring(study, method, task, variant)


def caption_inputs(wildcards):
    """Named inputs of the moments of a set of captions: the prompts, and the network by which FID is
    measured."""
    extractor = RUNS[FIRST, "t2i"].evaluation.extractors[0]
    return {"prompts": PATHS.prompts, "folder:extractor": PATHS.model_card(extractor)}


def scoring_inputs(task):
    """An input function: the cards of the networks that measure a sample set, the questions about the
    prompts where one of them answers those, and the moments of sets of captions. They are the same for
    every method."""

    def inputs(wildcards):
        networks = {
            f"network:{role}": PATHS.model_card(name)
            for stage in stages.measuring(STUDY, FIRST, task, variants.GUIDED)
            for role, name in stages.networks(stage).items()
        }
        if task != "t2i":
            return networks
        questions = {"questions": PATHS.questions} if "dpg" in TEXT_TO_IMAGE else {}
        captions = {f"captions:{name}": PATHS.captions(name) for name in CAPTIONS}
        return networks | questions | captions

    return inputs
