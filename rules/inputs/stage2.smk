# What the rules of the trainings read: input and parameter functions.


def training_inputs(wildcards):
    """Named inputs of one run: latents, or images and what encodes them; where the task has text its features, or
    captions and what encodes them; the features and frozen networks that its loss terms compare with,
    and what evaluates it meanwhile."""
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
    """Named inputs of a run's evaluation while it is trained, if it has one. They change no weight, so
    one that is made again (hence ancient) trains nothing."""
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
    """--online and the evaluation's configuration. Its file is named by the training that it is of:
    another number of steps or images then changes no parameter of the rule, and trains nothing."""
    if not RUNS[wildcards.method, wildcards.task].training.evaluate_every:
        return ""
    try:
        stage = stages.online(STUDY, wildcards.method, wildcards.task, wildcards.weights)
    except UserError as error:
        raise WorkflowError(str(error)) from None
    return f" --online {quote(stage_file(stage, stage['train']['hash']))}"


def encoding_options(wildcards):
    """--encode and --encode-text with the configurations of what a run encodes itself."""
    run, task = RUNS[wildcards.method, wildcards.task], wildcards.task
    options = ""
    if run.tokenizer != PIXELS and not CACHES.of("latents", task, run.tokenizer):
        options += f" --encode {quote(stage_file(stages.latents(STUDY, task, run.tokenizer)))}"
    encoder = run.conditioner.model
    if encoder and not CACHES.of("text", task, encoder):
        options += f" --encode-text {quote(stage_file(stages.text(STUDY, task, encoder)))}"
    return options


# Runs whose training keeps averages on the way; then every training writes a file of them.


KEEPS = any(run.training.snapshots for run in RUNS.values())


def keep_option(wildcards):
    """--keep and the steps after which the average is kept; nothing where no run of the study asks."""
    steps = variants.kept(RUNS[wildcards.method, wildcards.task]).values()
    return " ".join([" --keep", *map(str, steps)]) if KEEPS else ""


def tracking_options(wildcards):
    """--tracker for each of a run's trackers, and the folder that they write to."""
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
    """Where a training saves and resumes: outside the outputs, which Snakemake deletes."""
    named = (wildcards.method, wildcards.task, wildcards.weights)
    return f"{ROOT}/state/{stages.train(STUDY, *named)['hash']}"


def trained():
    """Cards of every training of the study; a method may have one for its samples without guidance."""
    return [
        PATHS.trained(method, task, weights)
        for (method, task), run in RUNS.items()
        for weights in variants.trainings(run)
    ]
