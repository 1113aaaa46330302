# Input and parameter functions of the rules for the report.


T2I = "t2i" in STUDY.tasks
IMAGENET = "imagenet" in STUDY.tasks


# Written by one process: it takes longer to start than to write, and correlations are computed once.


CORRELATIONS = ["correlations", "sensitivity", "influence"]
OWN_TABLES = [name for name, table in TABLES.items() if table.is_of(STUDY)]
OWN_FIGURES = [name for name, figure in FIGURES.items() if figure.is_of(STUDY)]
PUBLISHED_TABLES = [name for name, table in TABLES.items() if table.published]
PUBLISHED_FIGURES = [name for name, figure in FIGURES.items() if figure.published]


# The measured tables that the explorer joins; with none, it shows the paper's numbers.


EXPLORED = [name for name in explorer_entries.TABLES.values() if name in OWN_TABLES]


def tables(*names):
    """Files of these tables: the paper's, and the study's own if it has them."""
    published = [f"{ROOT}/tables/published/{name}.csv" for name in names if name in PUBLISHED_TABLES]
    return published + [PATHS.table(name) for name in names if name in OWN_TABLES]


def figures(*names):
    published = [f"{ROOT}/figures/published/{name}.png" for name in names if name in PUBLISHED_FIGURES]
    return published + [PATHS.figure(name, "png") for name in names if name in OWN_FIGURES]


def get_table_inputs(wildcards):
    return TABLES[wildcards.table].inputs(STUDY)


def get_figure_inputs(wildcards):
    return FIGURES[wildcards.figure].inputs(STUDY)


def get_seeds_table(wildcards):
    if "seeds" not in OWN_TABLES:
        raise WorkflowError(
            f"study {STUDY.study} trains each method once; set seeds, e.g. --config seeds=3, or take study "
            "nano-seeds"
        )
    return tables("seeds")


def get_sweep_outputs(wildcards):
    if "sweep" not in OWN_TABLES:
        raise WorkflowError(
            f"study {STUDY.study} sweeps no guidance; set its key sweep, "
            "e.g. --config 'sweep={scales: [1.0, 1.5, 2.0, 3.0], images: 200}'"
        )
    return tables("sweep") + figures("sweep")


def grids():
    public = [f"{ROOT}/figures/samples/t2i-{name}-{variants.GUIDED}.png" for name in PUBLIC]
    return public + [
        f"{ROOT}/figures/samples/{task}-{method}-{variant}.png"
        for (method, task), run in RUNS.items()
        if method in STUDY.methods
        for guidance in shown_guidance(STUDY, run)
        for variant in variants.with_steps(run, guidance)
    ]


def style_option(wildcards):
    return style_of(wildcards.figure)


def style_of(figure):
    """Option --style for a figure that the study styles, empty for other figures."""
    style = STUDY.report.figures.get(figure)
    return f"--style '{canonical_json(style.model_dump())}'" if style else ""


def grid_source(wildcards):
    """Named input that labels the images: the prompts, or an image file with the class names."""
    if wildcards.task == "t2i":
        return {"prompts": PATHS.prompts}
    return {"reference": PATHS.data("imagenet", "val")}


# Sample sets after a part of a method's training and after all of it, by heading (Figure 3).


LENGTHS = artefact_files.lengths(STUDY)


def lengths():
    return [PATHS.figure("figure3", "png")] if LENGTHS else []


def get_lengths_figure(wildcards):
    if not LENGTHS:
        raise WorkflowError(
            f"no method of study {STUDY.study} keeps the average of a part of its text-to-image training, "
            "so there is nothing to compare; set e.g. --config 'training={snapshots: [0.5]}'"
        )
    return lengths()


# The study's leaderboard entries by name. Reproductions have none: their sizes and schedules differ.


OWN_ENTRIES = (
    {}
    if STUDY.report.reproduction
    else {name: f"{ROOT}/leaderboard/{name}.json" for name in submission.rows(STUDY)}
)


def get_metric_files(*names):
    """The metric files behind these tables, each once."""
    return list(dict.fromkeys(path for name in names for path in TABLES[name].metric_files(STUDY)))


def get_entry_metrics(wildcards):
    """Metric files behind the study's own entries."""
    return get_metric_files(*EXPLORED)


def get_entries(wildcards):
    """The study's own entries, and those in the folder that it names."""
    folder = STUDY.leaderboard.entries
    if folder is None:
        return list(OWN_ENTRIES.values())
    handed_in = sorted(map(str, Path(folder).glob("*.json")))
    if not handed_in:
        raise WorkflowError(
            f"leaderboard.entries: {folder} holds no entry (*.json); name the folder that contains them"
        )
    return [*OWN_ENTRIES.values(), *handed_in]


def leaderboard():
    return [PATHS.table("leaderboard")] if OWN_ENTRIES else []


def get_leaderboard(wildcards):
    if not OWN_ENTRIES:
        raise WorkflowError(
            f"study {STUDY.study} reproduces Table 1, whose methods differ in size and schedule: it has no "
            "leaderboard"
        )
    return leaderboard()


def get_number_tables(wildcards):
    """Tables with the numbers that a text quotes."""
    return [
        path
        for name in ("table2", "table3", "table4", "correlations", "claims")
        for path in tables(name)
    ]


def get_bundle_files(wildcards):
    """Every table and figure in every format, sample grids, entries and the numbers to quote."""
    return [
        *(
            str(Path(path).with_suffix(kind))
            for path in tables(*TABLES) + leaderboard()
            for kind in (".csv", ".md", ".tex", ".html")
        ),
        *(
            str(Path(path).with_suffix(kind))
            for path in figures(*FIGURES)
            for kind in (".pdf", ".png", ".svg")
        ),
        *grids(),
        *lengths(),
        *OWN_ENTRIES.values(),
        *([f"{ROOT}/numbers.tex"] if EXPLORED else []),
    ]


def explorer():
    return [f"{ROOT}/explorer.html"]


def report_page():
    return [f"{ROOT}/report.html"]


def get_report_files(wildcards):
    """Every table and image of the report."""
    shown = [str(Path(path).with_suffix(".html")) for path in tables(*TABLES) + leaderboard()]
    return [*shown, *figures(*FIGURES), *lengths(), *grids()]


def get_explored_tables(wildcards):
    return [PATHS.table(name) for name in EXPLORED]


def get_explored_metrics(wildcards):
    return get_metric_files(*EXPLORED)


def get_explored_samples(wildcards):
    """Files behind the explorer's images: sample sets, prompts and class names."""
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
