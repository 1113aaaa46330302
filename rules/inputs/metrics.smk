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


# Which metrics are measured by questions, and by which model; packages run theirs in processes of their own.


ANSWERING = stages.answering(STUDY) if "t2i" in STUDY.tasks else {}
PACKAGED = [metric for metric, name in ANSWERING.items() if MODELS[name].source == "package"]
MEASURED_HERE = (
    [metric for metric in stages.metrics_of(STUDY, "t2i") if metric not in PACKAGED]
    if "t2i" in STUDY.tasks
    else []
)


def measuring(task):
    """Makes the configurations of all stages that measure a sample set of a task."""
    return lambda study, method, variant: stages.measuring(study, method, task, variant)


def scoring_inputs(task):
    """An input function: the cards of the networks that measure a sample set, and the questions about the
    prompts where one of them answers those. They are the same for every method."""

    def inputs(wildcards):
        return {
            f"network:{role}": PATHS.model_card(name)
            for stage in stages.measuring(STUDY, FIRST, task, variants.GUIDED)
            for role, name in stages.networks(stage).items()
        } | ({"questions": PATHS.questions} if task == "t2i" and "dpg" in MEASURED_HERE else {})

    return inputs
