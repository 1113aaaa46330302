# The study, resolved once; where its files lie; the configuration that each step is given.
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
from nanogen.config.own_models import is_own
from nanogen.errors import UserError
from nanogen.files import write_text
from nanogen.identity import canonical_json, config_hash
from nanogen.fork_server import start as start_fork_server
from nanogen.hidden import remove_left_over
from nanogen.leaderboard import submission
from nanogen.report.artefacts import FIGURES, SAMPLED, TABLES, shown_guidance, swept
from nanogen.report.explorer import entries as explorer_entries


class Mistake(WorkflowError):
    """A user's, told by the logger (snakemake_logger_plugin_nanogen) without a place in the rules."""


class Runs(dict):
    """The study's runs by method and task; a file of another one ends in a sentence."""

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
        read_yaml(Path(file))  # Snakemake's own reader keeps the last of two equal keys without a word
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
except UserError as error:
    raise Mistake(str(error)) from None

# Priorities, in the rules: what long chains begin with is made first, so that no training comes last and
# runs alone; pictures and the paper's own tables, which nothing waits for, fill the gaps at the end.

# A step's program is the one beside this file, also in a conda environment that lacks it; where there is
# none, its Python is the one that runs Snakemake, also where its environment is not activated.
PYTHON_PATH = f"{workflow.basedir}/src:{os.environ.get('PYTHONPATH', '')}"
OWN_PYTHON = f"export PATH={quote(os.path.dirname(sys.executable))}:$PATH; "
PREFIX = f"export PYTHONPATH={quote(PYTHON_PATH)}; {'' if CONDA else OWN_PYTHON}"
shell.prefix(PREFIX.replace("{", "{{").replace("}", "}}"))


def cancel_timers():
    """Let Snakemake end when its jobs have: each look for new ones leaves a timer for the next, as long as
    the timespan of max-jobs-per-timespan, and a process waits for its timers."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


# What studies share lies in a store, which jobs learn of by their environment.
os.environ.setdefault(store.VARIABLE, STUDY.store or "")

FORKED_JOBS = 6  # from so many jobs on, a fork server saves more than its own start costs

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
    """Path of a step's configuration. Its name holds the hash of the content, if it is not ``named``
    otherwise, so as a rule's parameter it changes exactly when something the step depends on changes."""
    path = Path(".snakemake", "nanogen", f"{stage['stage']}-{named or stage['hash']}.json")
    text = json.dumps(stage, indent=1)
    if not path.exists() or path.read_text(encoding="utf-8") != text:  # "use" is outside the hash
        write_text(path, text)
    return str(path)


def configured(make, *fields):
    """A parameter function: the configuration file of ``make(STUDY, *wildcards)``, or those of several
    stages, as further options --config."""

    def parameter(wildcards):
        try:
            made = make(STUDY, *(getattr(wildcards, field) for field in fields))
            return " --config ".join(map(stage_file, made if isinstance(made, list) else [made]))
        except UserError as error:
            raise Mistake(str(error)) from None

    return parameter


def study_file():
    """The resolved study for the report's commands, without the styles and the leaderboard's guests, which
    their commands are given by themselves: a change of one figure's style then concerns that figure only.
    """
    keys = STUDY.model_dump(
        mode="json",
        exclude={"extends", "report", "leaderboard", "hardware", "utilisation", "store", "data_shards"},
    )
    if STUDY.released is None:
        del keys["released"]
    if STUDY.report.reproduction:  # all of the looks that changes what a table is of
        keys["report"] = {"reproduction": True}
    content = canonical_json(keys)
    path = Path(".snakemake", "nanogen", f"study-{config_hash(content)}.yaml")
    if not path.exists():
        write_text(path, content)
    return str(path)


def names_of(source, *kinds):
    """A wildcard pattern for the models of these kinds that are built or downloaded."""
    names = [m.name for m in MODELS.values() if m.source == source and m.kind in kinds]
    return "|".join(map(re.escape, names)) or "(?!)"


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


if workflow.is_main_process:
    if not workflow.dryrun:
        for folder in (ROOT, *store.stores()[:1]):
            remove_left_over(Path(folder))
    for line in disk.notice(STUDY):
        logger.info(line)
