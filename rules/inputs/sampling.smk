# Input and parameter functions of the rules for the sample sets.


def sampled_run(wildcards):
    """The run of one sample set, a trained method's or a public model's."""
    return PUBLIC.get(wildcards.method) or RUNS[wildcards.method, wildcards.task]


def sampling_inputs(wildcards):
    """Named inputs of one sample set."""
    if wildcards.method in PUBLIC:
        pipeline = PATHS.model_card(PUBLIC[wildcards.method].pipeline)
        return {"pipeline": pipeline, "prompts": PATHS.prompts}
    run = RUNS[wildcards.method, wildcards.task]
    inputs = {}
    if wildcards.variant != variants.UNTRAINED:
        weights = variants.weights_of(run, wildcards.variant)
        inputs["model"] = PATHS.trained(wildcards.method, wildcards.task, weights)
    if run.tokenizer != PIXELS:
        inputs["tokenizer"] = PATHS.model_card(run.tokenizer)
    if wildcards.variant.startswith(variants.AT):
        inputs["kept"] = PATHS.kept(wildcards.method, wildcards.task)
    if wildcards.variant == variants.BEST:
        inputs["chosen-guidance"] = PATHS.guidance(wildcards.method)
    if run.conditioner.model:
        if run.task == "t2i":
            inputs["prompts"] = PATHS.prompts
        inputs["text"] = PATHS.text(stages.drawn_texts(run.task), run.conditioner.model)
    return inputs


def swept_fids(wildcards):
    """The FID of every small sample set of a method's sweep."""
    names = variants.swept(STUDY.sweep) if STUDY.sweep else []
    return [PATHS.metric(wildcards.method, "imagenet", name, "fid") for name in names]


def sampling_options(wildcards, input):
    """Options of the command; a model is given by its folder."""
    in_folders = ("model", "tokenizer", "pipeline")
    folders = {name: Path(input[name]).parent for name in in_folders if name in input.keys()}
    options = {**dict(input.items()), **folders}
    return " ".join(f"--{name} {quote(str(path))}" for name, path in options.items())
