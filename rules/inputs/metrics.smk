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


def color_classifier(wildcards):
    """The card of what names colours, where GenEval's detector sees none."""
    detector = RUNS[FIRST, "t2i"].evaluation.detector
    name = MODELS[detector].color_classifier
    return [PATHS.model_card(name)] if name else []


# Which metrics are measured by questions, and by which model; packages run theirs in processes of their own.


ANSWERING = stages.answering(STUDY) if "t2i" in STUDY.tasks else {}
PACKAGED = [metric for metric, name in ANSWERING.items() if MODELS[name].source == "package"]
ANSWERED_HERE = [metric for metric in ANSWERING if metric not in PACKAGED]


def answering_inputs(wildcards):
    """Named inputs of the metrics measured by questions: the questions, the models' cards."""
    inputs = {f"model:{metric}": PATHS.model_card(ANSWERING[metric]) for metric in ANSWERED_HERE}
    return inputs | ({"questions": PATHS.questions} if "dpg" in ANSWERED_HERE else {})


SIMPLE = RUNS[FIRST, "t2i"].evaluation.simpleeval if "t2i" in STUDY.tasks else None
TEXT_TO_IMAGE = stages.metrics_of(STUDY, "t2i") if "t2i" in STUDY.tasks else []
MEASURED_HERE = [metric for metric in TEXT_TO_IMAGE if metric not in PACKAGED]


def weak_scorer(wildcards):
    """The card of what compares images with texts, where the study measures SimpleEval."""
    return [PATHS.model_card(SIMPLE.scorer)] if SIMPLE else []


def scoring(command, make, wildcards, input, output):
    """A metric's command, its configuration and what all of them read."""
    config = configured(make, "method", "variant")(wildcards)
    samples = f"--samples {quote(input.samples)} --prompts {quote(input.prompts)}"
    return f"{command} --config {config} {samples} --output {quote(output)}"


def geneval_command(wildcards, input, output):
    file = f"{Path(output[0]).parent}/geneval.json"
    command = scoring("score-geneval", stages.geneval, wildcards, input, file)
    colors = "".join(f" --color-classifier {quote(str(Path(card).parent))}" for card in input.colors)
    return f"{command} --detector {quote(str(Path(input.detector).parent))}{colors}"


def questions_command(wildcards, input, output):
    """Nothing where packages measure what is measured by questions."""
    if not ANSWERED_HERE:
        return ""
    folder = str(Path(output[0]).parent)
    command = scoring("score-questions", stages.question_scores, wildcards, input, folder)
    questions = f" --questions {quote(input.questions)}" if "dpg" in ANSWERED_HERE else ""
    models = (
        f" --model {metric}={quote(str(Path(input[f'model:{metric}']).parent))}"
        for metric in ANSWERED_HERE
    )
    return f"--then {command}{questions}{''.join(models)}"


def simpleeval_command(wildcards, input, output):
    """Nothing where the study does not measure it."""
    if not SIMPLE:
        return ""
    file = f"{Path(output[0]).parent}/simpleeval.json"
    command = scoring("score-simpleeval", stages.simpleeval, wildcards, input, file)
    return f"--then {command} --scorer {quote(str(Path(input.scorer[0]).parent))}"


def image_text_command(wildcards, input, output):
    """Nothing where no metric needs images and prompts alone."""
    if not any(metrics.BY_NAME[name].stage == "image_text" for name in TEXT_TO_IMAGE):
        return ""
    folder = str(Path(output[0]).parent)
    command = scoring("score-image-text", stages.image_text, wildcards, input, folder)
    return f"--then {command}"


# Features lie beside the samples and are no output: where they are of these samples and extractors, they

# are read again, so another metric or reference extracts nothing.
