"""The page of the methods, generated from their files, with the resulting sizes."""

from __future__ import annotations

from nanogen.config import PIXELS, load_study, stages
from nanogen.config.load import trained_run
from nanogen.config.schema import Run
from nanogen.config.study_schema import Study
from nanogen.config.yaml_files import CONFIG, available, read_yaml
from nanogen.docs.markdown import code, table

STUDIES = {"paper": "the paper's size", "nano-all": "the small size"}
FAMILIES = {
    "rae": "RAE",
    "vae": "VAE",
    "pixel": "pixel space",
    "few-step": "few steps",
}
INTRODUCTION = """# List of the methods

Generated from `config/methods/` and the studies `paper` and `nano-all`. A latent is given as channels ×
rows × columns; for a pixel method it is the image. Tokens are those of the image, after patching.
"""


def page() -> str:
    """Return the page in Markdown."""
    return "\n".join([INTRODUCTION, *(_at_scale(*pair) for pair in STUDIES.items()), _public()])


def _at_scale(name: str, title: str) -> str:
    study = load_study(name)
    rows = [_row(study, method) for method in study.methods]
    header = ("title and name", "family", "tokenizer", "latent", "patch", "tokens", "predicts", "adds")
    return f"## At {title}: {len(rows)} methods, study `{name}`\n\n{table(header, rows)}"


def _row(study: Study, method: str) -> tuple[object, ...]:
    run = trained_run(study, method, "imagenet")
    channels, rows, columns = stages.train(study, method, "imagenet")["latent"]
    tokens = rows * columns // run.backbone.patch**2
    tokenizer = "none" if run.tokenizer == PIXELS else code(run.tokenizer)
    latent = f"{channels}×{rows}×{columns}"
    names = (f"{run.title} ({code(method)})", FAMILIES[run.family], tokenizer)
    return (*names, latent, run.backbone.patch, tokens, _predicted(run), _added(run))


def _predicted(run: Run) -> str:
    if run.objective.kind == "meanflow":
        return "average velocity"
    return {"v": "velocity", "x": "clean image"}[run.objective.prediction]


def _added(run: Run) -> str:
    return ", ".join(code(name) for name in run.objective.terms) or "–"


def _public() -> str:
    """The section on public pipelines, which a study may list under ``public``."""
    files = {name: read_yaml(CONFIG / "methods" / f"{name}.yaml") for name in available("methods")}
    public = {name: keys for name, keys in files.items() if keys["family"] == "public"}
    rows = [(keys["title"], code(name), code(keys["pipeline"])) for name, keys in public.items()]
    listed = table(("title", "name", "pipeline"), rows)
    said = "Rows for comparison, never trained here: [](../howto/public-models.md)."
    return f"## Public models\n\n{said}\n\n{listed}"
