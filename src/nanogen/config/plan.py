"""What a study needs, known before anything runs: networks, downloads, disk space for caches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanogen.config import encoder_registry, own_models, prompt_lists, stages, terms, variants
from nanogen.config.latent_caches import FLOAT16, latents_of
from nanogen.config.load import latent_shape, load_model, load_prompt_file, trained_run
from nanogen.config.model_schema import Address, Model
from nanogen.config.paths import Paths
from nanogen.config.schema import Run
from nanogen.config.study_schema import Study
from nanogen.config.used_networks import models_of
from nanogen.config.yaml_files import CONFIG, available, read_yaml
from nanogen.data.stage import stays_in_shards
from nanogen.errors import UserError

PLACE = 24  # bytes that say where a picture lies
UNKNOWN = "not known here"  # a licence
MEAN_TOKENS = 60  # of a caption, for the estimate of the text cache


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
            large = self.megabytes >= 1
            size = f"{self.megabytes:.0f} MB" if large else f"{1000 * self.megabytes:.0f} kB"
        return f"{self.what}: {size}, licence {self.licence}"


def downloads(study: Study) -> list[Download]:
    """Every network, data set and prompt file that must still be downloaded, in order of first use."""
    licences = _licences()
    found: list[Download] = []
    for name in models_of(study):
        model = load_model(study, name)
        if model.source == "download" and not _present(study, name):
            found += _of_model(model, licences)
    found += _of_released(study, licences)
    for task in study.tasks:
        run = trained_run(study, study.methods[0], task)
        for repo in run.data.hub if _reads_images(study, run) else []:
            about = licences["data"].get(repo.partition("@")[0], {"licence": UNKNOWN, "gated": False})
            found.append(Download(repo, f"data set {repo}", 0.0, about["gated"], about["licence"]))
        if task == "t2i":
            own = (named for _, named in prompt_lists.own_lists(run.evaluation).values())
            lists = [name for name in (run.evaluation.prompts, *own) if name in available("prompts")]
            found += [_of_file(load_prompt_file(name), f"prompts {name}") for name in lists]
            found += [
                Download(pinned, f"data set {pinned} for prompts of {benchmark}", 0.0, False, UNKNOWN)
                for benchmark, pinned in prompt_lists.rows(run.evaluation).items()
            ]
            found += [
                Download(source, f"captions and images {source}", 0.0, False, UNKNOWN)
                for source in run.evaluation.captions.given.values()
                if not Path(source).is_dir()
            ]
    return found


def _licences() -> Mapping[str, Any]:
    """Of networks and data sets, by repository."""
    known = read_yaml(CONFIG / "licences.yaml")
    return {**known, "networks": {**encoder_registry.licences(), **known["networks"]}}


def _reads_images(study: Study, run: Run) -> bool:
    """Whether a study needs a task's images: for training, or as the reference of metrics."""
    trains = any(own_models.is_own(study, method, run.task) for method in study.trainings)
    return not run.data.root and (trains or run.task == "imagenet")


def _of_released(study: Study, licences: Mapping[str, Any]) -> list[Download]:
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
    about = licences["networks"].get(repo, UNKNOWN)
    what, size = f"{repo} for {missing} trained models", missing * study.released.model_mb
    return [Download(repo, what, size, False, about)] if missing else []


def _of_model(model: Model, licences: Mapping[str, Any]) -> list[Download]:
    """Downloads of a network: its weights, and the published moments that go with it."""
    found = [_of_file(model.file, model.name)] if model.file else []
    moments = ", ".join(filter(None, (model.statistics, model.fdr_statistics)))
    statistics = model.statistics_hub if moments else None
    for hub, what in ((model.hub, model.name), (statistics, f"{model.name}: {moments}")):
        if hub:
            where = f"{hub.repo}/{hub.subfolder}" if hub.subfolder else hub.repo
            licence = licences["networks"].get(hub.repo, UNKNOWN)
            found.append(Download(hub.repo, f"{where} for {what}", hub.size_mb, hub.gated, licence))
    return found


def _of_file(file: Address, what: str) -> Download:
    return Download(file.url, f"{file.url} for {what}", file.size_mb, False, file.licence)


def cache_bytes(study: Study) -> dict[str, int]:
    """Size of every cache the study would write: latents exactly, text and patches estimated."""
    sizes = {
        f"latents/{one.task}/{one.tokenizer}": one.size
        for one in latents_of(study).values()
        if one.cached and not one.given and one.trainings
    }
    for task in study.tasks:
        for method in study.methods:
            if not own_models.is_own(study, method, task):
                continue
            run = trained_run(study, method, task)
            count = run.data.train_images
            if run.conditioner.model:
                width = load_model(study, run.conditioner.model).width or 0
                tokens = min(MEAN_TOKENS, run.conditioner.tokens)
                sizes[f"text/{task}/{run.conditioner.model}"] = count * tokens * width * FLOAT16
            for part, encoder in terms.caches(run).items():
                cells = 1 if part == "cls" else _tokens(study, run)
                size = (load_model(study, encoder).width or 0) * cells * FLOAT16
                sizes[f"features/{task}/{encoder}/{part}"] = count * size
            left = stays_in_shards(run.data.source, run.data.store)
            sizes[f"data/{task}"] = count * (PLACE if left else run.data.resolution**2 * 3)
    return sizes


def _tokens(study: Study, run: Run) -> int:
    """Image tokens of the backbone, about as many as the encoder's patches."""
    _, rows, columns = latent_shape(study, run)
    return rows * columns // run.backbone.patch**2


def check_paths(study: Study, check_latents: Callable[[str, str], None]) -> None:
    """Raise UserError for a path in the configuration that does not exist or does not fit.

    ``check_latents`` raises it unless a file is a cache of latents with the given hash
    (`nanogen.caches`).
    """
    for task, caches in study.latents.items():
        for tokenizer, given in caches.items():
            where = f"latents.{task}.{tokenizer}"
            if not Path(given.file).is_file():
                raise UserError(f"{where}.file: there is no file {given.file}")
            if not Path(given.tokenizer).is_dir():
                raise UserError(f"{where}.tokenizer: there is no folder {given.tokenizer}")
            if (task, tokenizer) in latents_of(study):  # the study's trainings read it
                check_latents(given.file, stages.latents(study, task, tokenizer)["hash"])
    for task, folders in study.trained.items():
        for given_for in folders:
            method, separator, _ = given_for.partition(variants.OWN_WEIGHTS)
            if method in study.methods and task in study.tasks:
                stages.trained_model(study, method, task, variants.OWN_WEIGHTS if separator else "")


def require_weights(
    study: Study, model: Model, folder: Path, otherwise: str = "name the folder of a copy"
) -> None:
    """Raise UserError unless ``folder`` holds weights. Its message says where the weights of ``model``
    come from, how large they are, and which alternatives there are."""
    if any(folder.glob("*.safetensors")):
        return
    card = f"results/{study.study}/models/{model.name}/nanogen.json"
    make = f"`snakemake {card} --config study={study.study}`"
    origin = f"{make} makes them (source: {model.source})"
    if model.source == "download":
        items = _of_model(model, _licences())
        origin = f"{make} fetches {'; '.join(map(str, items))}"
    raise UserError(
        f"{model.kind} {model.name}: there are no weights (*.safetensors) in {folder}; {origin}; or "
        f"{otherwise}"
    )


def human(size: float) -> str:
    """Bytes as a short text, e.g. ``503 GB`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def notice(study: Study) -> list[str]:
    """What to know before a study starts: terms to accept, and large downloads and caches."""
    lines = []
    fetched = downloads(study)
    gated = list(dict.fromkeys(item.repository for item in fetched if item.gated))
    if gated:
        lines.append("Gated: accept the terms on the page of each and set HF_TOKEN before starting:")
        lines += [f"  {repository}" for repository in gated]
    if fetched:
        total = human(sum(item.megabytes for item in fetched) * 1e6)
        lines.append(f"To fetch ({total} of networks and statistics, data sets besides):")
        lines += [f"  {item}" for item in fetched]
    sizes = cache_bytes(study)
    if sum(sizes.values()) > 10**9:
        lines.append(f"Data and caches on disk, {human(sum(sizes.values()))} in all:")
        lines += [f"  {name}: {human(size)}" for name, size in sorted(sizes.items())]
    return lines + _encoded_in_training(study)


def _encoded_in_training(study: Study) -> list[str]:
    """Which latents are not cached, and what caching them would take."""
    left = [one for one in latents_of(study).values() if not one.cached and one.trainings]
    if not left:
        return []
    why = f"cache: {study.cache}"
    if study.cache == "auto":
        why += f", {study.cache_budget_gb:g} GB"
    head = f"Encoded in every training step instead of cached ({why}):"
    return [
        head,
        *(
            f"  latents/{one.task}/{one.tokenizer}: {human(one.size)} saved, encoded by "
            f"{one.trainings} training{'s' if one.trainings > 1 else ''}"
            for one in left
        ),
    ]


def _present(study: Study, name: str) -> bool:
    return Path(f"results/{study.study}/models/{name}/nanogen.json").exists()
