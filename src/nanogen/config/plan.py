"""What a study needs before anything is run: networks, downloads, disk for the caches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanogen.config import stages, terms, variants
from nanogen.config.load import CONFIG, PIXELS, latent_shape, load_model, load_run, read_yaml
from nanogen.config.schema import Run, Study
from nanogen.errors import UserError

FLOAT16 = 2  # bytes
MEAN_TOKENS = 60  # of a caption, for the estimate of the text cache


def models_of(study: Study) -> list[str]:
    """Names of every frozen network that the study's rules may use, in order of first use."""
    names: dict[str, None] = {}
    for task in study.tasks:
        for method in study.methods:
            run = load_run(study, method, task)
            if run.tokenizer != PIXELS:
                model = load_model(study, run.tokenizer)
                if model.encoder and model.source == "build":
                    names[model.encoder] = None
                names[model.name] = None
            if run.conditioner.model:
                names[run.conditioner.model] = None
            names |= dict.fromkeys(terms.encoders(run))
        if task == "t2i":
            names |= dict.fromkeys(load_run(study, method, task).pipeline for method in study.public)
        evaluation = load_run(study, study.methods[0], task).evaluation
        used = evaluation.extractors if task == "imagenet" else [evaluation.detector]
        names |= dict.fromkeys(name for name in used if name)
    return list(names)


@dataclass(frozen=True)
class Download:
    """A repository of the Hugging Face hub that a study would fetch from.

    Attributes:
        repository: owner/name.
        what: the network or data set, for the reader.
        megabytes: 0 if unknown.
        gated: whether its terms must be accepted, and HF_TOKEN set.
        licence: as config/licences.yaml has it.
    """

    repository: str
    what: str
    megabytes: float
    gated: bool
    licence: str

    def __str__(self) -> str:
        size = f"{self.megabytes:.0f} MB" if self.megabytes else "size unknown"
        return f"{self.what}: {size}, licence {self.licence}"


def downloads(study: Study) -> list[Download]:
    """Every network and data set to fetch that is not there yet, in order of first use."""
    licences = read_yaml(CONFIG / "licences.yaml")
    found: list[Download] = []
    for name in models_of(study):
        model = load_model(study, name)
        if model.source == "download" and model.hub and not _present(study, name):
            hub = model.hub
            where = f"{hub.repo}/{hub.subfolder}" if hub.subfolder else hub.repo
            licence = licences["networks"].get(hub.repo, "not known here")
            found.append(Download(hub.repo, f"{where} for {name}", hub.size_mb, hub.gated, licence))
    for task in study.tasks:
        data = load_run(study, study.methods[0], task).data
        for repo in [] if data.root else data.hub:
            about = licences["data"].get(repo, {"licence": "not known here", "gated": False})
            found.append(Download(repo, f"data set {repo}", 0.0, about["gated"], about["licence"]))
    return found


def cache_bytes(study: Study) -> dict[str, int]:
    """Size of every cache the study would write: latents exactly, text and patches estimated."""
    sizes: dict[str, int] = {}
    for task in study.tasks:
        for method in study.methods:
            run = load_run(study, method, task)
            count = run.data.train_images
            given = run.tokenizer in study.latents.get(task, {})
            if run.tokenizer != PIXELS and not given:
                channels, rows, columns = load_model(study, run.tokenizer).latent or (0, 0, 0)
                size = channels * rows * columns * FLOAT16
                sizes[f"latents/{task}/{run.tokenizer}"] = count * size
            if run.conditioner.model:
                width = load_model(study, run.conditioner.model).width or 0
                tokens = min(MEAN_TOKENS, run.conditioner.tokens)
                sizes[f"text/{task}/{run.conditioner.model}"] = count * tokens * width * FLOAT16
            for part, encoder in terms.caches(run).items():
                cells = 1 if part == "cls" else _tokens(study, run)
                size = (load_model(study, encoder).width or 0) * cells * FLOAT16
                sizes[f"features/{task}/{encoder}/{part}"] = count * size
            sizes[f"data/{task}"] = count * run.data.resolution**2 * 3
    return sizes


def _tokens(study: Study, run: Run) -> int:
    """Image tokens of the backbone, about as many as the encoder's patches."""
    _, rows, columns = latent_shape(study, run)
    return rows * columns // run.backbone.patch**2


def check_paths(study: Study) -> None:
    """Raise UserError for a path in the configuration that is not there, or does not fit."""
    for task, caches in study.latents.items():
        for tokenizer, given in caches.items():
            where = f"latents.{task}.{tokenizer}"
            if not Path(given.file).is_file():
                raise UserError(f"{where}.file: there is no file {given.file}")
            if not Path(given.tokenizer).is_dir():
                raise UserError(f"{where}.tokenizer: there is no folder {given.tokenizer}")
    for task, folders in study.trained.items():
        for given in folders:
            method, separator, _ = given.partition(variants.OWN_WEIGHTS)
            if method in study.methods and task in study.tasks:
                stages.trained_model(study, method, task, variants.OWN_WEIGHTS if separator else "")


def human(size: float) -> str:
    """Bytes as a short text, e.g. ``503 GB`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def notice(study: Study) -> list[str]:
    """What to know before starting: terms to accept, downloads and caches, if worth a word."""
    lines = []
    fetched = downloads(study)
    gated = list(dict.fromkeys(item.repository for item in fetched if item.gated))
    if gated:
        lines.append("Gated: accept the terms on the page of each and set HF_TOKEN before starting:")
        lines += [f"  {repository}" for repository in gated]
    if fetched:
        total = human(sum(item.megabytes for item in fetched) * 1e6)
        lines.append(f"To fetch from the Hugging Face hub ({total} of networks, data sets besides):")
        lines += [f"  {item}" for item in fetched]
    sizes = cache_bytes(study)
    if sum(sizes.values()) > 10**9:
        lines.append(f"Data and caches on disk, {human(sum(sizes.values()))} in all:")
        lines += [f"  {name}: {human(size)}" for name, size in sorted(sizes.items())]
    return lines


def _present(study: Study, name: str) -> bool:
    return Path(f"results/{study.study}/models/{name}/nanogen.json").exists()
