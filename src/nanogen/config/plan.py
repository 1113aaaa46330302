"""What a study needs, known before anything runs: networks, downloads, and paths that exist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nanogen.config import licences, own_models, prompt_lists, stages, variants
from nanogen.config.cache_sizes import optional
from nanogen.config.licences import UNKNOWN
from nanogen.config.load import load_model, load_prompt_file, trained_run
from nanogen.config.model_schema import Address, Model
from nanogen.config.paths import Paths
from nanogen.config.schema import Run
from nanogen.config.study_schema import Study
from nanogen.config.used_networks import models_of
from nanogen.config.yaml_files import available
from nanogen.errors import UserError
from nanogen.text import human

LARGE = 100_000  # megabytes from which a size is printed in larger units


@dataclass(frozen=True)
class Download:
    """Something a study downloads: from a repository of the Hugging Face hub, or a file by its address.

    Attributes:
        repository: owner/name, or the address.
        what: the network, data set or prompts, for the reader.
        megabytes: 0 if unknown.
        gated: whether its terms must be accepted, and HF_TOKEN set.
        licence: as config/licences.yaml, or the file's own configuration, has it.
    """

    repository: str
    what: str
    megabytes: float
    gated: bool
    licence: str

    def __str__(self) -> str:
        size = "size unknown"
        if self.megabytes:
            megabytes = f"{self.megabytes:.0f} MB"
            size = megabytes if 1 <= self.megabytes < LARGE else human(1e6 * self.megabytes)
        return f"{self.what}: {size}, licence {self.licence}"


def downloads(study: Study) -> list[Download]:
    """Every network, data set and prompt file that must still be downloaded, in order of first use."""
    found: list[Download] = []
    for name in models_of(study):
        model = load_model(study, name)
        if model.source == "download" and not _present(study, name):
            found += _of_model(model)
    found += _of_released(study)
    for task in study.tasks:
        run = trained_run(study, study.methods[0], task)
        for repo in run.data.hub if _reads_images(study, run) else []:
            found += _of_data(study, run, repo)
        if task == "t2i":
            own = (named for _, named in prompt_lists.own_lists(run.evaluation).values())
            lists = [name for name in (run.evaluation.prompts, *own) if name in available("prompts")]
            found += [_of_file(load_prompt_file(name), f"prompts {name}") for name in lists]
            found += [
                Download(
                    pinned, f"data set {pinned} for prompts of {benchmark}", 0.0, False, licences.UNKNOWN
                )
                for benchmark, pinned in prompt_lists.rows(run.evaluation).items()
            ]
            found += [
                Download(source, f"captions and images {source}", 0.0, False, UNKNOWN)
                for source in run.evaluation.captions.given.values()
                if not Path(source).is_dir()
            ]
    return found


def _reads_images(study: Study, run: Run) -> bool:
    """Whether a study needs a task's images: for training, or as the reference of metrics."""
    trains = any(own_models.is_own(study, method, run.task) for method in study.trainings)
    return not run.data.root and (trains or run.task == "imagenet")


def _of_data(study: Study, run: Run, repo: str) -> list[Download]:
    """Download of a data set, unless it is present. Its size is estimated from a typical image's."""
    about = licences.data_set(repo)
    count = run.data.train_images + (0 if run.data.fetch_images else run.data.val_images)
    there = Path(f"results/{study.study}/downloads/{run.task}/{repo}/nanogen.json").exists()
    size = 0.0 if run.data.file else count * about.kb / 1000
    found = Download(repo, f"data set {repo}", size, about.gated, about.licence)
    return [] if there else [found]


def _of_released(study: Study) -> list[Download]:
    """The authors' checkpoints that must still be downloaded for the study's runs, as one item."""
    if study.released is None:
        return []
    wanted = [
        Path(Paths(study).trained(method, task, weights))
        for task in study.tasks
        for method in study.trainings
        for weights in variants.trainings(trained_run(study, method, task))
        if own_models.released_file(study, method, task, weights)
    ]
    missing, repo = sum(not card.exists() for card in wanted), study.released.repo
    licence = licences.network(repo)
    what, size = f"{repo} for {missing} trained models", missing * study.released.model_mb
    return [Download(repo, what, size, False, licence)] if missing else []


def _of_model(model: Model) -> list[Download]:
    """Downloads of a network: its weights, and the published moments that go with it."""
    found = [_of_file(model.file, model.name)] if model.file else []
    moments = ", ".join(filter(None, (model.statistics, model.fdr_statistics)))
    statistics = model.statistics_hub if moments else None
    for hub, what in ((model.hub, model.name), (statistics, f"{model.name}: {moments}")):
        if hub:
            where = f"{hub.repo}/{hub.subfolder}" if hub.subfolder else hub.repo
            licence = licences.network(hub.repo)
            found.append(Download(hub.repo, f"{where} for {what}", hub.size_mb, hub.gated, licence))
    return found


def _of_file(file: Address, what: str) -> Download:
    return Download(file.url, f"{file.url} for {what}", file.size_mb, False, file.licence)


def check_paths(study: Study, check_latents: Callable[[str, str], None]) -> None:
    """Raise UserError for a path in the configuration that does not exist or does not fit.

    ``check_latents`` raises it unless a file is a cache of latents with the given hash
    (`nanogen.caches`).
    """
    for task, caches in study.latents.items():
        for tokenizer, given in caches.items():
            where = f"latents.{task}.{tokenizer}"
            if not Path(given.file).is_file():
                raise UserError(f"{where}.file: file {given.file} does not exist")
            if not Path(given.tokenizer).is_dir():
                raise UserError(f"{where}.tokenizer: folder {given.tokenizer} does not exist")
            if f"latents/{task}/{tokenizer}" in {c.name for c in optional(study)}:  # it is read
                check_latents(given.file, stages.latents(study, task, tokenizer)["hash"])
    for task, folders in study.trained.items():
        for given_for in folders:
            method, separator, _ = given_for.partition(variants.OWN_WEIGHTS)
            if method in study.methods and task in study.tasks:
                stages.trained_model(study, method, task, variants.OWN_WEIGHTS if separator else "")


def require_weights(
    study: Study, model: Model, folder: Path, otherwise: str = "name the folder of a copy"
) -> None:
    """Raise UserError unless ``folder`` contains weights.

    The message names the source and the size of the weights of ``model``, and the alternatives.
    """
    if any(folder.glob("*.safetensors")):
        return
    card = f"results/{study.study}/models/{model.name}/nanogen.json"
    make = f"`snakemake {card} --config study={study.study}`"
    origin = f"{make} makes them (source: {model.source})"
    if model.source == "download":
        items = _of_model(model)
        origin = f"{make} fetches {'; '.join(map(str, items))}"
    raise UserError(
        f"{model.kind} {model.name}: there are no weights (*.safetensors) in {folder}; {origin}; or "
        f"{otherwise}"
    )


def _present(study: Study, name: str) -> bool:
    return Path(f"results/{study.study}/models/{name}/nanogen.json").exists()
