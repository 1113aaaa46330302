# Resolve the study once: its runs, its paths, and the configuration file of each step.
import json
import os
import re
import sys
import threading
from pathlib import Path
from shlex import quote

sys.path.insert(0, os.path.join(workflow.basedir, "src"))
from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from nanogen import store
from nanogen.caches import check_latents
from nanogen.config import (
    PIXELS,
    cache_choice,
    disk,
    load_model,
    load_run,
    metrics,
    plan,
    stages,
    study_from,
    terms,
    tokenizer_networks,
    variants,
)
from nanogen.config.yaml_files import read_yaml
from nanogen.config.paths import Paths
from nanogen.config.schema import PRETRAINING
from nanogen.errors import UserError
from nanogen.files import write_text
from nanogen.identity import canonical_json, config_hash
from nanogen.fork_server import start as start_fork_server
from nanogen.hidden import remove_left_over
from nanogen.leaderboard import submission
from nanogen.report import artefact_files
from nanogen.report.artefacts import FIGURES, SAMPLED, TABLES, check_styles, shown_guidance
from nanogen.report.explorer import entries as explorer_entries


class Mistake(WorkflowError):
    """A user's mistake. snakemake_logger_plugin_nanogen prints it without a position in the rules."""


class Runs(dict):
    """The study's runs by (method, task). A run that does not exist raises ``Mistake``."""

    def __missing__(self, key):
        method, task = key
        known = ", ".join(dict.fromkeys(name for name, _ in self))
        raise Mistake(
            f"study {STUDY.study} has no run {method!r} on {task}; its runs are, on "
            f"{' and '.join(STUDY.tasks)}, {known}"
        )


CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method

try:
    for file in {*workflow.configfiles, *workflow.overwrite_configfiles}:
        read_yaml(Path(file))  # Snakemake's own reader silently keeps the last of two equal keys
    STUDY = study_from(config)
    RUNS = Runs(
        {
            (method, task): load_run(STUDY, method, task)
            for method in STUDY.trainings
            for task in STUDY.tasks
        }
    )
    PUBLIC = {name: load_run(STUDY, name, "t2i") for name in STUDY.public if "t2i" in STUDY.tasks}
    PATHS = Paths(STUDY)
    CACHES = cache_choice.choice(STUDY)
    MODELS = {name: load_model(STUDY, name) for name in plan.models_of(STUDY)}
    plan.check_paths(STUDY, check_latents)
    check_styles(STUDY)
except UserError as error:
    raise Mistake(str(error)) from None

# Priorities of the rules: jobs at the start of long chains run first, so that no training is left to run
# alone at the end. Images and the paper's own tables, which nothing waits for, fill the gaps.

# Steps import the package from this checkout, also in a conda environment that does not contain it.
# Without conda they use the Python that runs Snakemake, even if its environment is not activated.
PYTHON_PATH = f"{workflow.basedir}/src:{os.environ.get('PYTHONPATH', '')}"
OWN_PYTHON = f"export PATH={quote(os.path.dirname(sys.executable))}:$PATH; "
PREFIX = f"export PYTHONPATH={quote(PYTHON_PATH)}; {'' if CONDA else OWN_PYTHON}"
shell.prefix(PREFIX.replace("{", "{{").replace("}", "}}"))


def cancel_timers():
    """Cancel Snakemake's timers, so that it ends as soon as its jobs have ended.

    Each time Snakemake looks for new jobs, it starts a timer for the timespan of max-jobs-per-timespan,
    and the process would wait for that timer.
    """
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


# Jobs read the folders of the store, which studies share, from this environment variable.
os.environ.setdefault(store.VARIABLE, STUDY.store or "")

FORKED_JOBS = 6  # with at least this many jobs, a fork server saves more time than it takes to start

ROOT = PATHS.root
FIRST = STUDY.methods[0]


wildcard_constraints:
    task="imagenet|t2i",
    split="train|val",
    method="[A-Za-z0-9._-]+",
    model="[A-Za-z0-9._-]+",
    tokenizer="[A-Za-z0-9._-]+",
    scatteritem=r"\d+-of-\d+",
    variant=variants.PATTERN,
    weights=f"({variants.OWN_WEIGHTS})?",


def stage_file(stage, named=None):
    """Write the configuration of a step and return its path.

    The name contains the stage's hash, or ``named`` if given. As a rule's parameter, the path therefore
    changes exactly when something that the step depends on changes.
    """
    path = Path(".snakemake", "nanogen", f"{stage['stage']}-{named or stage['hash']}.json")
    text = json.dumps(stage, indent=1)
    if not path.exists() or path.read_text(encoding="utf-8") != text:  # "use" is outside the hash
        write_text(path, text)
    return str(path)


def configured(make, *fields):
    """Return a parameter function for the configuration file of ``make(STUDY, *wildcards)``.

    If ``make`` returns several stages, their files are joined by `` --config ``.
    """

    def parameter(wildcards):
        try:
            made = make(STUDY, *(getattr(wildcards, field) for field in fields))
            return " --config ".join(map(stage_file, made if isinstance(made, list) else [made]))
        except UserError as error:
            raise Mistake(str(error)) from None

    return parameter


def study_file():
    """Write the resolved study for the report's commands and return its path.

    Styles and the leaderboard's entries are left out; the commands that need them get them separately.
    Changing the style of one figure then affects only that figure.
    """
    keys = STUDY.model_dump(
        mode="json",
        exclude={"extends", "report", "leaderboard", "hardware", "utilisation", "store", "data_shards"},
    )
    if STUDY.released is None:
        del keys["released"]
    if STUDY.report.reproduction:  # the only key of the report that changes what a table contains
        keys["report"] = {"reproduction": True}
    content = canonical_json(keys)
    path = Path(".snakemake", "nanogen", f"study-{config_hash(content)}.yaml")
    if not path.exists():
        write_text(path, content)
    return str(path)


def names_of(source, *kinds):
    """Return a wildcard pattern for the models of these kinds with this ``source``."""
    names = [m.name for m in MODELS.values() if m.source == source and m.kind in kinds]
    return "|".join(map(re.escape, names)) or "(?!)"


def as_options(wildcards, input):
    """Return the command's options for all named inputs.

    An input ``name`` gives ``--name path``, ``network:name`` (the card of a network) gives
    ``--network name=folder``, and ``folder:name`` gives ``--name folder``.
    """
    options = []
    for key, path in input.items():
        option, _, name = key.partition(":")
        folder = quote(str(Path(path).parent))
        if option == "folder":
            options.append(f"--{name} {folder}")
        else:
            options.append(f"--{option} {name}={folder}" if name else f"--{option} {quote(path)}")
    return " ".join(options)


if workflow.is_main_process:
    if not workflow.dryrun:
        for folder in (ROOT, *store.stores()[:1]):
            remove_left_over(Path(folder))
    for line in disk.notice(STUDY):
        logger.info(line)
