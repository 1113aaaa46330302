"""What a study needs before anything is run: networks, downloads, disk for the caches."""

from __future__ import annotations

from pathlib import Path

from nanogen.config import terms
from nanogen.config.load import PIXELS, latent_shape, load_model, load_run
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
        evaluation = load_run(study, study.methods[0], task).evaluation
        used = evaluation.extractors if task == "imagenet" else [evaluation.detector]
        names |= dict.fromkeys(name for name in used if name)
    return list(names)


def downloads(study: Study) -> list[tuple[str, float, bool]]:
    """(repository, megabytes or 0 if unknown, gated) of every network and data set to fetch."""
    found: dict[str, tuple[str, float, bool]] = {}
    for name in models_of(study):
        model = load_model(study, name)
        if model.source == "download" and model.hub:
            folder = f"/{model.hub.subfolder}" if model.hub.subfolder else ""
            key = f"{model.hub.repo}{folder} for {name}"
            found[key] = (key, model.hub.size_mb, model.hub.gated)
    for task in study.tasks:
        data = load_run(study, study.methods[0], task).data
        for repo in [] if data.root else data.hub:
            found[repo] = (f"data set {repo}", 0.0, False)
    return list(found.values())


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
    """Raise UserError for a path in the configuration that is not there."""
    for task, caches in study.latents.items():
        for tokenizer, given in caches.items():
            where = f"latents.{task}.{tokenizer}"
            if not Path(given.file).is_file():
                raise UserError(f"{where}.file: there is no file {given.file}")
            if not Path(given.tokenizer).is_dir():
                raise UserError(f"{where}.tokenizer: there is no folder {given.tokenizer}")


def human(size: float) -> str:
    """Bytes as a short text, e.g. ``503 GB`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def notice(study: Study) -> list[str]:
    """What to know before starting: downloads and caches, if they are worth a word."""
    lines = []
    fetched = [(key, size, gated) for key, size, gated in downloads(study) if not _present(study, key)]
    if fetched:
        total = human(sum(size for _, size, _ in fetched) * 1e6)
        lines.append(f"To fetch from the Hugging Face hub ({total} of networks, data sets besides):")
        for key, size, gated in fetched:
            amount = f"{size:.0f} MB" if size else "size unknown"
            lines.append(
                f"  {key}: {amount}{', gated: accept its licence, set HF_TOKEN' if gated else ''}"
            )
    sizes = cache_bytes(study)
    if sum(sizes.values()) > 10**9:
        lines.append(f"Data and caches on disk, {human(sum(sizes.values()))} in all:")
        lines += [f"  {name}: {human(size)}" for name, size in sorted(sizes.items())]
    return lines


def _present(study: Study, key: str) -> bool:
    name = key.rpartition(" for ")[2]
    return Path(f"results/{study.study}/models/{name}/nanogen.json").exists()
