"""Paths of a study's files below ``results/<study>/``; models and caches may be elsewhere."""

from __future__ import annotations

from pathlib import Path

from nanogen.config.load import load_model
from nanogen.config.own_models import released_file
from nanogen.config.study_schema import Study


class Paths:
    """File names of one study, as strings relative to the working directory."""

    def __init__(self, study: Study):
        self.study = study
        self.root = f"results/{study.study}"

    def data(self, task: str, split: str) -> str:
        return f"{self.root}/data/{task}/{split}.h5"

    def inputs(self, task: str) -> str:
        """Folder of the images that a rehearsal draws instead of the task's data set."""
        return f"{self.root}/inputs/{task}"

    @property
    def prompts(self) -> str:
        return f"{self.root}/prompts/geneval.json"

    @property
    def questions(self) -> str:
        return f"{self.root}/prompts/questions.json"

    def model(self, name: str) -> str:
        """Folder of a frozen network: the user's where given, else the study's."""
        config = load_model(self.study, name)
        return str(config.path) if config.source == "path" else f"{self.root}/models/{name}"

    def model_card(self, name: str) -> str:
        """The file whose existence says that the model's folder is complete."""
        card = Path(self.model(name)) / "nanogen.json"
        given = not str(card).startswith(f"{self.root}/")
        if not given or card.exists():
            return str(card)
        pipeline = load_model(self.study, name).kind == "pipeline"
        return str(card.with_name("model_index.json" if pipeline else "config.json"))

    def latents(self, task: str, tokenizer: str) -> str:
        given = self.study.latents.get(task, {}).get(tokenizer)
        return given.file if given else f"{self.root}/latents/{task}/{tokenizer}.h5"

    def reconstruction(self, tokenizer: str) -> str:
        """Scores of a tokenizer's reconstructions."""
        return f"{self.root}/tokenizers/{tokenizer}/reconstruction.json"

    def reconstructions(self, tokenizer: str) -> str:
        """A few of its reconstructions."""
        return f"{self.root}/tokenizers/{tokenizer}/reconstructions.h5"

    def text(self, of: str, encoder: str) -> str:
        return f"{self.root}/text/{of}/{encoder}.h5"

    def vision(self, task: str, encoder: str, part: str) -> str:
        return f"{self.root}/features/{task}/{encoder}/{part}.h5"

    def run(self, method: str, task: str) -> str:
        return f"{self.root}/runs/{task}/{method}"

    def trained(self, method: str, task: str, weights: str = "") -> str:
        """The card of a trained backbone, the user's or the authors' where given; ``weights`` as in
        ``variants.weights_of``."""
        given = self.study.trained.get(task, {}).get(method + weights)
        if released_file(self.study, method, task, weights):
            given = f"{self.root}/released/{task}/{method}/model{weights}"
        return f"{given or self.run(method, task) + '/model' + weights}/nanogen.json"

    def kept(self, method: str, task: str) -> str:
        """The averages of the weights that a training kept along the way."""
        return f"{self.run(method, task)}/model/kept.safetensors"

    def samples(self, method: str, task: str, variant: str) -> str:
        return f"{self.run(method, task)}/{variant}/samples.h5"

    def features(self, method: str, task: str, variant: str) -> str:
        return f"{self.run(method, task)}/{variant}/features.h5"

    def guidance(self, method: str) -> str:
        """The guidance scale that a sweep chose for a method."""
        return f"{self.run(method, 'imagenet')}/guidance.json"

    def metric(self, method: str, task: str, variant: str, name: str) -> str:
        return f"{self.run(method, task)}/{variant}/metrics/{name}.json"

    @property
    def reference(self) -> str:
        return f"{self.root}/reference/statistics.h5"

    def captions(self, name: str) -> str:
        """Moments of the images of a set of captions."""
        return f"{self.root}/reference/captions/{name}/moments.h5"

    def table(self, name: str, suffix: str = "csv") -> str:
        return f"{self.root}/tables/{name}.{suffix}"

    def figure(self, name: str, suffix: str = "pdf") -> str:
        return f"{self.root}/figures/{name}.{suffix}"
