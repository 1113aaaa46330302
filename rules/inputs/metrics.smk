# Input and parameter functions of the rules for the scores.


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
    """Return a function for the configurations of all stages that measure a sample set of a task."""
    return lambda study, method, variant: stages.measuring(study, method, task, variant)


def caption_inputs(wildcards):
    """Named inputs for the reference moments of a caption set: the prompts and FID's extractor."""
    extractor = RUNS[FIRST, "t2i"].evaluation.extractors[0]
    return {"prompts": PATHS.prompts, "folder:extractor": PATHS.model_card(extractor)}


def scoring_inputs(task):
    """Return an input function for the rule that measures a sample set.

    The inputs are the cards of the networks, the questions about the prompts if DPG-Bench is measured,
    and the reference moments of caption sets. They are the same for every method.
    """

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
