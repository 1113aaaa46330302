# Input and parameter functions of the rules for the trainings.


def training_inputs(wildcards):
    """Named inputs of one run.

    These are latents, or images and the tokenizer that encodes them; for text conditions, text features,
    or captions and the text encoder; the features and frozen networks that loss terms use; and the
    inputs of the evaluation while training.
    """
    run = RUNS[wildcards.method, wildcards.task]
    images = {"data": PATHS.data(wildcards.task, "train")}
    if run.tokenizer == PIXELS:
        inputs = images
    elif CACHES.of("latents", wildcards.task, run.tokenizer):
        inputs = {"latents": PATHS.latents(wildcards.task, run.tokenizer)}
    else:
        inputs = {**images, "folder:tokenizer": PATHS.model_card(run.tokenizer)}
    if CACHES.of("text", wildcards.task, run.conditioner.model):
        inputs["text"] = PATHS.text(wildcards.task, run.conditioner.model)
    elif run.conditioner.model:
        inputs |= {**images, "folder:text-encoder": PATHS.model_card(run.conditioner.model)}
    for part, encoder in terms.caches(run).items():
        inputs[part] = PATHS.vision(wildcards.task, encoder, part)
    if run.training.initialise_from:
        inputs["folder:initial"] = f"{run.training.initialise_from.model}/nanogen.json"
    for name in terms.networks(run).values():
        inputs[f"network:{name}"] = PATHS.model_card(name)
    return {**online_inputs(run), **inputs}


def online_inputs(run):
    """Named inputs of a run's evaluation while it is trained, if it has one. They do not affect the
    weights, so they are ``ancient``: a newer input does not start the training again."""
    if not run.training.evaluate_every:
        return {}
    evaluation, networks = run.evaluation, [run.tokenizer]
    if run.task == "t2i":
        files = {"prompts": PATHS.prompts, "prompt-text": PATHS.text("prompts", run.conditioner.model)}
        detector = evaluation.detector
        networks += [detector, MODELS[detector].color_classifier] if detector else []
    else:
        files = {"reference": PATHS.reference}
        if run.conditioner.model:
            files["prompt-text"] = PATHS.text(stages.drawn_texts(run.task), run.conditioner.model)
        networks.append(evaluation.extractors[0])
    cards = {f"network:{n}": PATHS.model_card(n) for n in networks if n and n != PIXELS}
    return {name: ancient(path) for name, path in {**files, **cards}.items()}


def online_option(wildcards):
    """Option --online with the evaluation's configuration, empty without an evaluation.

    The file is named after the hash of the training. Changing the interval or the number of images then
    changes no parameter of the rule, and does not start the training again.
    """
    if not RUNS[wildcards.method, wildcards.task].training.evaluate_every:
        return ""
    try:
        stage = stages.online(STUDY, wildcards.method, wildcards.task, wildcards.weights)
    except UserError as error:
        raise WorkflowError(str(error)) from None
    return f" --online {quote(stage_file(stage, stage['train']['hash']))}"


def encoding_options(wildcards):
    """Options --encode and --encode-text with the configurations of what a run encodes itself."""
    run, task = RUNS[wildcards.method, wildcards.task], wildcards.task
    options = ""
    if run.tokenizer != PIXELS and not CACHES.of("latents", task, run.tokenizer):
        options += f" --encode {quote(stage_file(stages.latents(STUDY, task, run.tokenizer)))}"
    encoder = run.conditioner.model
    if encoder and not CACHES.of("text", task, encoder):
        options += f" --encode-text {quote(stage_file(stages.text(STUDY, task, encoder)))}"
    return options


# Whether any run keeps averages during its training; if so, every training writes a file of them.


KEEPS = any(run.training.snapshots for run in RUNS.values())


def keep_option(wildcards):
    """Option --keep with the steps whose average is kept, empty if no run of the study keeps any."""
    steps = variants.kept(RUNS[wildcards.method, wildcards.task]).values()
    return " ".join([" --keep", *map(str, steps)]) if KEEPS else ""


def tracking_options(wildcards):
    """Options --tracker for each of a run's trackers, and --tracking with their output folder."""
    named = [f" --tracker {name}" for name in RUNS[wildcards.method, wildcards.task].training.trackers]
    if not named:
        return ""
    place = f"{ROOT}/tracking/{wildcards.task}/{wildcards.method}{wildcards.weights}"
    return "".join(named) + f" --tracking {quote(place)}"


def training_options(wildcards, input):
    options = as_options(wildcards, input) + encoding_options(wildcards)
    keep_state = RUNS[wildcards.method, wildcards.task].training.keep_state
    options += " --keep-state" if keep_state else ""
    return options + online_option(wildcards) + keep_option(wildcards)


def state_folder(wildcards):
    """Folder in which a training saves its state, outside the outputs, which Snakemake deletes."""
    named = (wildcards.method, wildcards.task, wildcards.weights)
    return f"{ROOT}/state/{stages.train(STUDY, *named)['hash']}"


def trained():
    """Cards of every training of the study. A method may train again for samples without guidance."""
    return [
        PATHS.trained(method, task, weights)
        for (method, task), run in RUNS.items()
        for weights in variants.trainings(run)
    ]
