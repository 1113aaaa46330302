# What the rules read: input and parameter functions, stage by stage.


# data
def downloads(wildcards):
    """Data sets that an import reads: of the hub, or drawn, unless the user gave a folder."""
    data = stages.task_data(STUDY, wildcards.task)
    if data.root == PATHS.inputs(wildcards.task):
        return [f"{data.root}/nanogen.json"]
    return (
        []
        if data.root
        else [f"{ROOT}/downloads/{wildcards.task}/{repo}/nanogen.json" for repo in data.hub]
    )


def downloaded_root(wildcards, input):
    """Option that points an import at what was fetched; nothing where the data has its own root."""
    fetched = input and not stages.task_data(STUDY, wildcards.task).root
    return f"--root {ROOT}/downloads/{wildcards.task}" if fetched else ""


# pretrained
def training_images(split):
    """Images of the task that a model is trained on."""
    return lambda wildcards: PATHS.data(MODELS[wildcards.model].data, split)


# stage1
def frozen_encoder(wildcards):
    """The card of the encoder whose features a tokenizer decodes or is aligned with, if any."""
    encoder = MODELS[wildcards.model].encoder
    return [PATHS.model_card(encoder)] if encoder else []


# latents
def all_caches():
    paths = set()
    for (_, task), run in RUNS.items():
        if run.tokenizer != PIXELS:
            paths.add(PATHS.latents(task, run.tokenizer))
        if run.conditioner.model:
            paths.add(PATHS.text(task, run.conditioner.model))
        paths |= {PATHS.vision(task, encoder, part) for part, encoder in terms.caches(run).items()}
    return sorted(paths)


# stage2
def training_inputs(wildcards):
    """Named inputs of one run: latents or images, text features where the task has text, the features
    and frozen networks that its loss terms compare with, and what evaluates it meanwhile."""
    run = RUNS[wildcards.method, wildcards.task]
    if run.tokenizer == PIXELS:
        inputs = {"data": PATHS.data(wildcards.task, "train")}
    else:
        inputs = {"latents": PATHS.latents(wildcards.task, run.tokenizer)}
    if run.conditioner.model:
        inputs["text"] = PATHS.text(wildcards.task, run.conditioner.model)
    for part, encoder in terms.caches(run).items():
        inputs[part] = PATHS.vision(wildcards.task, encoder, part)
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


def training_options(wildcards, input):
    return as_options(wildcards, input) + online_option(wildcards)


def as_options(wildcards, input):
    """``--name path`` for every named input; ``--network name=folder`` for the card of a network, whose
    input is called ``network:name``."""
    options = []
    for key, path in input.items():
        option, _, name = key.partition(":")
        options.append(
            f"--{option} {name}={quote(str(Path(path).parent))}" if name else f"--{option} {quote(path)}"
        )
    return " ".join(options)


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


# sampling
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
    if wildcards.variant == variants.BEST:
        inputs["chosen-guidance"] = PATHS.guidance(wildcards.method)
    if run.conditioner.model:
        inputs["prompts"] = PATHS.prompts
        inputs["text"] = PATHS.text("prompts", run.conditioner.model)
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


# metrics
EXTRACTORS = RUNS[FIRST, STUDY.tasks[0]].evaluation.extractors


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


def color_classifier_option(wildcards, input):
    return " ".join(f"--color-classifier {quote(str(Path(card).parent))}" for card in input.colors)


# Which metrics are measured by questions, and by which model; packages run theirs in processes of their own.
ANSWERING = stages.answering(STUDY) if "t2i" in STUDY.tasks else {}
PACKAGED = [metric for metric, name in ANSWERING.items() if MODELS[name].source == "package"]
ANSWERED_HERE = [metric for metric in ANSWERING if metric not in PACKAGED]


def answering_inputs(wildcards):
    """Named inputs of the metrics measured by questions: the questions, the models' cards."""
    inputs = {f"model:{metric}": PATHS.model_card(ANSWERING[metric]) for metric in ANSWERED_HERE}
    return inputs | ({"questions": PATHS.questions} if "dpg" in ANSWERED_HERE else {})


SIMPLE = RUNS[FIRST, "t2i"].evaluation.simpleeval if "t2i" in STUDY.tasks else None


# report
T2I = "t2i" in STUDY.tasks
IMAGENET = "imagenet" in STUDY.tasks
DISTRIBUTION = ["fid", "is", "fdr", "mind", "pr", "sfid"]
TEXT_TO_IMAGE = ["geneval", *ANSWERING, *(["simpleeval"] if SIMPLE else [])]
# Which sample sets a measured table reads: (task, guidance, metrics). A study of reproductions has
# Table 1 only, whose methods differ in the guidance.
MEASURED = (
    {
        "table1": ("imagenet", [], ["fid", "is"]),
    }
    if STUDY.report.reproduction
    else {
        **({"table2": ("imagenet", ["cfg", "untrained"], DISTRIBUTION)} if IMAGENET else {}),
        **({"table3": ("t2i", ["cfg"], TEXT_TO_IMAGE)} if T2I else {}),
        **({"table4": ("imagenet", ["nocfg", "untrained"], DISTRIBUTION)} if IMAGENET else {}),
    }
)
# Which measured tables a measured figure reads.
PLOTTED = {
    "figure1": ["table2", "table3"],
    "figure4": ["table2", "table3", "table4"],
    "figure5": ["table3", "table4"],
    "correlations": ["table2", "table3", "table4"],
}
MEASURED_FIGURES = [name for name, needs in PLOTTED.items() if all(t in MEASURED for t in needs)]
TABLES = ["table1", "table2", "table3", "table4"]
CORRELATIONS = ["correlations", "sensitivity", "influence"]
PUBLISHED_TABLES = [*TABLES, *CORRELATIONS, "claims"]
FIGURES = list(PLOTTED)
# Training curves of the study's own runs; what was trained elsewhere may have none.
CURVES = [
    f"{ROOT}/runs/{task}/{method}/model/train.jsonl"
    for method, task in RUNS
    if method not in STUDY.trained.get(task, {})
]
# Tables made from others, or from the training curves, and what they read.
DERIVED = {
    **(
        dict.fromkeys(CORRELATIONS, PLOTTED["correlations"])
        if "correlations" in MEASURED_FIGURES
        else {}
    ),
    **({"times": []} if CURVES else {}),
    **({"regimes": []} if CURVES and IMAGENET and T2I else {}),
    "claims": [*MEASURED, *(["times"] if CURVES else [])],
}
if CURVES:
    PLOTTED["figure2"] = ["times"]
    MEASURED_FIGURES.append("figure2")
if "regimes" in DERIVED:
    PLOTTED["regimes"] = ["regimes"]
    MEASURED_FIGURES.append("regimes")
# The search for the best guidance, of a study that has one: its table, and its curves from that.
SWEPT = [
    method
    for method in STUDY.methods
    if IMAGENET and variants.is_swept(RUNS[method, "imagenet"], STUDY.sweep)
]
if SWEPT:
    MEASURED["sweep"] = ("imagenet", [variants.BEST], ["fid", "is"])
    PLOTTED["sweep"] = ["sweep"]
    MEASURED_FIGURES.append("sweep")
SAMPLED = {"imagenet": ["cfg", "nocfg"], "t2i": ["cfg"]}


def shown_guidance(method, task):
    """Which of a run's sample sets `all` shows."""
    if STUDY.report.reproduction:
        return [reproduced_variant(RUNS[method, task])]
    return SAMPLED[task]


def tables(*names):
    """Files of these tables: the paper's, and the study's where it measures them."""
    published = [f"{ROOT}/tables/published/{name}.csv" for name in names if name in PUBLISHED_TABLES]
    return published + [PATHS.table(name) for name in names if name in {**MEASURED, **DERIVED}]


def figures(*names):
    published = [f"{ROOT}/figures/published/{name}.png" for name in names if name in FIGURES]
    return published + [PATHS.figure(name, "png") for name in names if name in MEASURED_FIGURES]


def sweep():
    """Table and figure of the sweep; nothing where the study has none."""
    return [PATHS.table("sweep"), PATHS.figure("sweep", "png")] if SWEPT else []


def asked_sweep(wildcards):
    if not SWEPT:
        raise WorkflowError(
            f"study {STUDY.study} sweeps no guidance; set its key sweep, "
            "e.g. --config 'sweep={scales: [1.0, 1.5, 2.0, 3.0], images: 200}'"
        )
    return sweep()


def grids():
    public = [f"{ROOT}/figures/samples/t2i-{name}-{variants.GUIDED}.png" for name in PUBLIC]
    return public + [
        f"{ROOT}/figures/samples/{task}-{method}-{variant}.png"
        for task in STUDY.tasks
        for method in STUDY.methods
        for guidance in shown_guidance(method, task)
        for variant in variants.with_steps(RUNS[method, task], guidance)
    ]


def metrics_of(wildcards):
    """Metric files that a measured table reads, Table 3 first the public models', and what it reads
    besides."""
    task, guidances, metrics = MEASURED[wildcards.table]
    public = PUBLIC if wildcards.table == "table3" else {}
    methods = SWEPT if wildcards.table == "sweep" else STUDY.methods
    sample_sets = [(name, variants.GUIDED) for name in public] + [
        (method, variant)
        for method in methods
        for guidance in guidances or shown_guidance(method, task)
        for variant in variants.with_steps(RUNS[method, task], guidance)
    ]
    return beside_metrics(wildcards.table, task) + [
        PATHS.metric(method, task, variant, metric)
        for method, variant in sample_sets
        for metric in metrics
    ]


def derived_from(wildcards):
    """What a table made from other tables reads; the claims also read how many prompts there were."""
    prompts = [PATHS.prompts] if wildcards.table == "claims" and T2I else []
    curves = CURVES if wildcards.table in ("times", "regimes") else []
    return [PATHS.table(name) for name in DERIVED[wildcards.table]] + prompts + curves


def beside_metrics(table, task):
    """Tables 1 and 3 print the models' sizes, a sweep's table what it chose."""
    if table in ("table1", "table3"):
        return [PATHS.trained(method, task) for method in STUDY.methods]
    return [PATHS.guidance(method) for method in SWEPT] if table == "sweep" else []


def style_option(wildcards):
    """--style for the figures that the study styles; the others take their own default."""
    style = STUDY.report.figures.get(wildcards.figure)
    return f"--style '{canonical_json(style.model_dump())}'" if style else ""


def grid_source(wildcards):
    """What the pictures are of: the prompts, or images whose file names the classes."""
    if wildcards.task == "t2i":
        return {"prompts": PATHS.prompts}
    return {"reference": PATHS.data("imagenet", "val")}
