# Metrics: small JSON files of each sample set.


EXTRACTORS = RUNS[FIRST, STUDY.tasks[0]].evaluation.extractors
DISTRIBUTION = stages.metrics_of(STUDY, "imagenet")


def extractor_cards(wildcards):
    return [PATHS.model_card(name) for name in EXTRACTORS]


def extractor_options(wildcards, input):
    folders = (quote(str(Path(card).parent)) for card in input.extractors)
    return " ".join(f"--extractor {n}={f}" for n, f in zip(EXTRACTORS, folders))


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
    return "--then " + scoring("score-image-text", stages.image_text, wildcards, input, folder)


rule reference:
    input:
        extractors=extractor_cards,
        train=PATHS.data("imagenet", "train"),
        val=PATHS.data("imagenet", "val"),
    output:
        PATHS.reference,
    log:
        f"{ROOT}/logs/reference.log",
    priority: 25
    conda:
        "../envs/metrics.yaml"
    params:
        config=configured(stages.reference),
        extractors=extractor_options,
    shell:
        "python -m nanogen reference --config {params.config} --train {input.train:q} --val {input.val:q}"
        " {params.extractors} --output {output} 2> >(tee -i {log} >&2)"


# Features lie beside the samples and are no output: where they are of these samples and extractors, they
# are read again, so another metric or reference extracts nothing.
rule score_images:
    input:
        extractors=extractor_cards,
        samples=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/samples.h5",
        reference=PATHS.reference,
    output:
        [f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/metrics/{name}.json" for name in DISTRIBUTION],
    log:
        f"{ROOT}/logs/score_images/{{method}}-{{variant}}.log",
    priority: 10
    conda:
        "../envs/metrics.yaml"
    resources:
        nodes=1,
        processes=1,
        gres="",
        mpi="",
    params:
        extraction=configured(stages.features, "method", "variant"),
        config=configured(stages.distribution, "method", "variant"),
        extractors=extractor_options,
        features=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/features.h5",
        metrics=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/metrics",
    shell:
        "python -m nanogen chain launch --mpi '{resources.mpi}' --nodes {resources.nodes}"
        " --gres '{resources.gres}' --processes {resources.processes} --"
        " extract-features --config {params.extraction} --samples {input.samples:q}"
        " {params.extractors} --output {params.features}"
        " --then score-distribution --config {params.config} --features {params.features}"
        " --reference {input.reference:q} --output {params.metrics} 2> >(tee -i {log} >&2)"


if "t2i" in STUDY.tasks:

    # One process for all of them: it starts for longer than it measures, and questions share a network.
    rule score_text:
        input:
            unpack(answering_inputs),
            samples=f"{ROOT}/runs/t2i/{{method}}/{{variant}}/samples.h5",
            prompts=PATHS.prompts,
            detector=PATHS.model_card(RUNS[FIRST, "t2i"].evaluation.detector),
            colors=color_classifier,
            scorer=weak_scorer,
        output:
            [f"{ROOT}/runs/t2i/{{method}}/{{variant}}/metrics/{name}.json" for name in MEASURED_HERE],
        log:
            f"{ROOT}/logs/score_text/{{method}}-{{variant}}.log",
        priority: 10
        conda:
            "../envs/metrics.yaml"
        params:
            geneval=geneval_command,
            questions=questions_command,
            simpleeval=simpleeval_command,
            image_text=image_text_command,
        shell:
            "python -m nanogen chain {params.geneval} {params.questions} {params.simpleeval}"
            " {params.image_text}"
            " 2> >(tee -i {log} >&2)"

    # Models that only a package runs, which needs an environment of its own.
    if "dpg" in PACKAGED:

        rule score_mplug:
            input:
                samples=f"{ROOT}/runs/t2i/{{method}}/{{variant}}/samples.h5",
                prompts=PATHS.prompts,
                questions=PATHS.questions,
            output:
                f"{ROOT}/runs/t2i/{{method}}/{{variant}}/metrics/dpg.json",
            log:
                f"{ROOT}/logs/score_mplug/{{method}}-{{variant}}.log",
            conda:
                "../envs/dpg.yaml"
            params:
                config=configured(stages.question_scores, "method", "variant"),
                inputs=as_options,
            shell:
                "python -m nanogen score-mplug --config {params.config} {params.inputs}"
                " --output $(dirname {output}) 2> >(tee -i {log} >&2)"

    if "genai" in PACKAGED:

        rule score_clip_flant5:
            input:
                samples=f"{ROOT}/runs/t2i/{{method}}/{{variant}}/samples.h5",
                prompts=PATHS.prompts,
            output:
                f"{ROOT}/runs/t2i/{{method}}/{{variant}}/metrics/genai.json",
            log:
                f"{ROOT}/logs/score_clip_flant5/{{method}}-{{variant}}.log",
            conda:
                "../envs/vqascore.yaml"
            params:
                config=configured(stages.question_scores, "method", "variant"),
                inputs=as_options,
            shell:
                "python -m nanogen score-clip-flant5 --config {params.config} {params.inputs}"
                " --output $(dirname {output}) 2> >(tee -i {log} >&2)"
