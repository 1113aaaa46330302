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
def tokenizer_inputs(wildcards):
    """Named inputs of a tokenizer's training: images, and the cards of the frozen networks that it is
    made with, as encoder, perceptual distance or discriminator."""
    model = MODELS[wildcards.model]
    networks = dict.fromkeys(tokenizer_networks.networks_of(model).values())
    return {
        "train": PATHS.data(model.data, "train"),
        "val": PATHS.data(model.data, "val"),
        **{f"network:{name}": PATHS.model_card(name) for name in networks},
    }


def tokenizers_built(tuned):
    """A wildcard pattern for the tokenizers that are trained here, from scratch or from another."""
    built = [m for m in MODELS.values() if m.source == "build" and m.kind in ("vae", "rae")]
    return "|".join(re.escape(m.name) for m in built if bool(m.end_to_end) == tuned) or "(?!)"


def tokenizer_state(wildcards):
    """Where a tokenizer's training saves and resumes: outside the outputs."""
    return f"{ROOT}/state/{stages.model(STUDY, wildcards.model)['hash']}"


def reconstruction_networks(wildcards):
    """Named inputs: the cards of the networks that judge reconstructions."""
    networks = stages.reconstruction_networks(STUDY)
    return {role: PATHS.model_card(name) for role, name in networks.items()}


def reconstruction_options(wildcards, input):
    """The tokenizer and the networks that judge it, each by its folder."""
    roles = ["tokenizer", *stages.reconstruction_networks(STUDY)]
    return " ".join(f"--{role} {quote(str(Path(input[role]).parent))}" for role in roles)


# latents
def all_caches():
    paths = set()
    for (_, task), run in RUNS.items():
        if run.tokenizer != PIXELS and LATENTS[task, run.tokenizer].cached:
            paths.add(PATHS.latents(task, run.tokenizer))
        if run.conditioner.model:
            paths.add(PATHS.text(task, run.conditioner.model))
        paths |= {PATHS.vision(task, encoder, part) for part, encoder in terms.caches(run).items()}
    return sorted(paths)


# stage2
def training_inputs(wildcards):
    """Named inputs of one run: latents, or images and what encodes them, text features where the task has text, the features
    and frozen networks that its loss terms compare with, and what evaluates it meanwhile."""
    run = RUNS[wildcards.method, wildcards.task]
    if run.tokenizer == PIXELS:
        inputs = {"data": PATHS.data(wildcards.task, "train")}
    elif LATENTS[wildcards.task, run.tokenizer].cached:
        inputs = {"latents": PATHS.latents(wildcards.task, run.tokenizer)}
    else:
        inputs = {
            "data": PATHS.data(wildcards.task, "train"),
            "folder:tokenizer": PATHS.model_card(run.tokenizer),
        }
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


def encoding_option(wildcards):
    """--encode and the configuration of the latents that a run encodes itself."""
    tokenizer = RUNS[wildcards.method, wildcards.task].tokenizer
    if tokenizer == PIXELS or LATENTS[wildcards.task, tokenizer].cached:
        return ""
    return f" --encode {quote(stage_file(stages.latents(STUDY, wildcards.task, tokenizer)))}"


# Runs whose training keeps averages on the way; then every training writes a file of them.
KEEPS = any(run.training.keep for run in RUNS.values())


def keep_option(wildcards):
    """--keep and the steps after which the average is kept; nothing where no run of the study asks."""
    steps = variants.kept(RUNS[wildcards.method, wildcards.task]).values()
    return " ".join([" --keep", *map(str, steps)]) if KEEPS else ""


def training_options(wildcards, input):
    options = as_options(wildcards, input) + encoding_option(wildcards)
    return options + online_option(wildcards) + keep_option(wildcards)


def as_options(wildcards, input):
    """``--name path`` for every named input; for the card of a network, whose input is called
    ``network:name``, ``--network name=folder``, and where it is ``folder:name``, ``--name folder``."""
    options = []
    for key, path in input.items():
        option, _, name = key.partition(":")
        folder = quote(str(Path(path).parent))
        if option == "folder":
            options.append(f"--{name} {folder}")
        else:
            options.append(f"--{option} {name}={folder}" if name else f"--{option} {quote(path)}")
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
    if wildcards.variant.startswith(variants.AT):
        inputs["kept"] = PATHS.kept(wildcards.method, wildcards.task)
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
    command = scoring("score-geneval", stages.geneval, wildcards, input, output[0])
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
    command = scoring("score-simpleeval", stages.simpleeval, wildcards, input, output[-1])
    return f"--then {command} --scorer {quote(str(Path(input.scorer[0]).parent))}"


# report
T2I = "t2i" in STUDY.tasks
IMAGENET = "imagenet" in STUDY.tasks
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
    if method in STUDY.methods and method not in STUDY.trained.get(task, {})
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
# Tokenizers are measured in every study but one of reproductions: a table, and a figure of pictures.
TOKENIZERS = [] if STUDY.report.reproduction else list(stages.tokenizers(STUDY))
SEEDS = ["seeds"] if STUDY.seeds > 1 else []
MEASURED_TABLES = [*MEASURED, *(["tokenizers"] if TOKENIZERS else []), *SEEDS]
if TOKENIZERS:
    PLOTTED["tokenizers"] = ["tokenizers"]
    MEASURED_FIGURES.append("tokenizers")
SAMPLED = {"imagenet": ["cfg", "nocfg"], "t2i": ["cfg"]}


# What `all` makes.
ALL_TABLES = [*TABLES, *CORRELATIONS, "times", "regimes", "claims"]
ALL_FIGURES = [*FIGURES, "figure2", "regimes"]


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


def get_tokenizer_outputs():
    """Table and figure of the tokenizers; nothing where all methods work on pixels."""
    return [PATHS.table("tokenizers"), PATHS.figure("tokenizers", "png")] if TOKENIZERS else []


def seeds_table():
    """The table of the seeds; nothing where each method is trained once."""
    return [PATHS.table(name) for name in SEEDS]


def seeds_metrics():
    """The metric files of every training's sample sets with guidance that the table of the seeds reads."""
    used = {(measure.task, measure.metric) for measure in report_seeds.measures(STUDY)}
    return [
        PATHS.metric(method, task, variant, metric)
        for (method, task), run in RUNS.items()
        for variant in variants.with_steps(run, variants.GUIDED)
        for at, metric in sorted(used)
        if at == task
    ]


def asked_seeds(wildcards):
    if not SEEDS:
        raise WorkflowError(
            f"study {STUDY.study} trains each method once; set seeds, e.g. --config seeds=3, or take study "
            "nano-seeds"
        )
    return seeds_table()


def get_sweep_outputs(wildcards):
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
    return metric_files(wildcards.table)


def metric_files(table):
    """Metric files that a measured table reads, Table 3 first the public models', and what it reads
    besides; the table of tokenizers reads their scores."""
    if table == "tokenizers":
        return [PATHS.reconstruction(name) for name in TOKENIZERS]
    if table == "seeds":
        return seeds_metrics()
    task, guidances, metrics = MEASURED[table]
    public = PUBLIC if table == "table3" else {}
    methods = SWEPT if table == "sweep" else STUDY.trainings
    sample_sets = [(name, variants.GUIDED) for name in public] + [
        (method, variant)
        for method in methods
        for guidance in guidances or shown_guidance(method, task)
        for variant in variants.with_steps(RUNS[method, task], guidance)
    ]
    return beside_metrics(table, task) + [
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
        return [PATHS.trained(method, task) for method in STUDY.trainings]
    return [PATHS.guidance(method) for method in SWEPT] if table == "sweep" else []


def get_figure_inputs(wildcards):
    """What a measured figure reads: tables, and where it shows images those."""
    shown = TOKENIZERS if wildcards.figure == "tokenizers" else []
    found = [PATHS.table(name) for name in PLOTTED[wildcards.figure]]
    return found + [PATHS.reconstructions(name) for name in shown]


def overview():
    return [PATHS.figure("overview", "png")]


def overview_samples():
    """The sample sets that the overview shows."""
    return [
        PATHS.samples(run.method, task, variant)
        for task in STUDY.tasks
        for run, variant in report_overview.shown(STUDY, task)
    ]


def style_option(wildcards):
    return style_of(wildcards.figure)


def style_of(figure):
    """--style for the figures that the study styles; the others take their own default."""
    style = STUDY.report.figures.get(figure)
    return f"--style '{canonical_json(style.model_dump())}'" if style else ""


def grid_source(wildcards):
    """What the pictures are of: the prompts, or images whose file names the classes."""
    if wildcards.task == "t2i":
        return {"prompts": PATHS.prompts}
    return {"reference": PATHS.data("imagenet", "val")}


# Sample sets of one method after parts of its training and after all of it, by their headings (Figure 3).
LENGTHS = {
    f"{run.title}, {step} steps": PATHS.samples(method, task, variant)
    for (method, task), run in RUNS.items()
    if task == "t2i"
    and method in STUDY.methods
    and run.training.keep
    and method not in STUDY.trained.get(task, {})
    for variant, step in {**variants.kept(run), variants.GUIDED: run.training.steps}.items()
}


def lengths():
    return [PATHS.figure("figure3", "png")] if LENGTHS else []


def asked_lengths(wildcards):
    if not LENGTHS:
        raise WorkflowError(
            f"no method of study {STUDY.study} keeps the average of a part of its text-to-image training, "
            "so there is nothing to compare; set e.g. --config 'training={keep: [0.5]}'"
        )
    return lengths()


# Entries of the leaderboard: the study's own, one per row of its tables, and those handed in. A study
# of reproductions has none: its methods differ in size and schedule.
OWN_ENTRIES = (
    {}
    if STUDY.report.reproduction
    else {name: f"{ROOT}/leaderboard/{name}.json" for name in submission.rows(STUDY)}
)


def get_entry_metrics(wildcards):
    """Metric files that the study's own entries are made of."""
    shown = [name for name in ("table2", "table3", "table4") if name in MEASURED]
    files = dict.fromkeys(path for name in shown for path in metric_files(name))
    return [path for path in files if "/metrics/" in path]


def entries(wildcards):
    """The study's own entries, and those in the folder that it names."""
    folder = STUDY.leaderboard.entries
    if folder is None:
        return list(OWN_ENTRIES.values())
    handed_in = sorted(map(str, Path(folder).glob("*.json")))
    if not handed_in:
        raise WorkflowError(
            f"leaderboard.entries: {folder} holds no entry (*.json); name the folder that they lie in"
        )
    return [*OWN_ENTRIES.values(), *handed_in]


def leaderboard():
    return [PATHS.table("leaderboard")] if OWN_ENTRIES else []


def asked_leaderboard(wildcards):
    if not OWN_ENTRIES:
        raise WorkflowError(
            f"study {STUDY.study} reproduces Table 1, whose methods differ in size and schedule: it has no "
            "leaderboard"
        )
    return leaderboard()


def get_number_tables(wildcards):
    """Tables that the text's numbers are made of."""
    sources = ["table2", "table3", "table4", "correlations", "claims"]
    return [path for name in sources for path in tables(name)]


def get_bundle_files(wildcards):
    """Every table and figure in every format, the sample grids, the entries and the text's numbers."""
    whole = tables(*ALL_TABLES) + seeds_table() + get_tokenizer_outputs() + sweep() + leaderboard()
    drawn = figures(*ALL_FIGURES)
    tabled = [path for path in whole if path.endswith(".csv")]
    pictures = [*overview(), *drawn, *(path for path in whole if path.endswith(".png"))]
    return [
        *(str(Path(path).with_suffix(kind)) for path in tabled for kind in (".csv", ".md", ".tex")),
        *(str(Path(path).with_suffix(kind)) for path in pictures for kind in (".pdf", ".png", ".svg")),
        *grids(),
        *lengths(),
        *OWN_ENTRIES.values(),
        *([f"{ROOT}/numbers.tex"] if EXPLORED else []),
    ]


# Which measured tables the explorer joins; a study of reproductions shows the paper's numbers there.
EXPLORED = [name for name in ("table2", "table3", "table4") if name in MEASURED]


def explorer():
    return [f"{ROOT}/explorer.html"]


def explored_tables(wildcards):
    return [PATHS.table(name) for name in EXPLORED]


def explored_metrics(wildcards):
    """Metric files behind the explorer's tables, each once."""
    return list(dict.fromkeys(path for name in EXPLORED for path in metric_files(name)))


def explored_samples(wildcards):
    """What the explorer's pictures are taken from: sample sets, prompts and the names of classes."""
    public = [PATHS.samples(name, "t2i", variants.GUIDED) for name in PUBLIC]
    sets = [
        PATHS.samples(method, task, variant)
        for (method, task), run in RUNS.items()
        if method in STUDY.methods
        for guidance in SAMPLED[task]
        for variant in variants.with_steps(run, guidance)
    ]
    named = [PATHS.prompts] * T2I + [PATHS.data("imagenet", "val")] * IMAGENET
    return [*public, *sets, *named] if EXPLORED else []


SITE = "build/docs"  # of no study: it tells of the program


def get_doc_sources(wildcards):
    """What the pages are written in or made from: another file of these makes the site anew."""
    root = Path(workflow.basedir)
    patterns = (
        "docs/**/*.*",
        "config/**/*.yaml",
        "src/nanogen/docs/*.py",
        "src/nanogen/cli/*.py",
        "src/nanogen/config/*.py",
    )
    files = [root / name for name in ("Snakefile", "profiles/README.md", "CONTRIBUTING.md")]
    files += [file for pattern in patterns for file in sorted(root.glob(pattern))]
    return [os.path.relpath(file) for file in files if file.is_file()]
