"""Score images of any origin against any reference, without a study's sample sets.

The features of both are written to a temporary folder and scored like those of a study.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from nanogen.config import metrics
from nanogen.data import hdf5
from nanogen.data.image_sets import ImageSet, open_images
from nanogen.errors import UserError, nearest
from nanogen.files import label, scratch_folder
from nanogen.identity import config_hash
from nanogen.metrics.feature_extraction import Kinds, write_extracted
from nanogen.metrics.feature_files import FEATURES, REFERENCE
from nanogen.metrics.feature_spaces import FeatureSpace, Options
from nanogen.metrics.metric_files import Score, measure
from nanogen.metrics.references import Chosen, RealImages, Reference, open_reference

log = logging.getLogger(__name__)
SCORES = ("scores", 1)
# Metrics that need only features, and no labels.
METRICS = {m.name: m for m in metrics.METRICS if m.stage == "distribution" and not m.needs}


@dataclass(frozen=True)
class Request:
    """The images to score, and how.

    Attributes:
        images: a folder, an NPZ file or an HDF5 file, see `open_images`.
        reference: the same, or a file of moments, see `open_reference`.
        metrics: names in `METRICS`.
        resize: side in pixels that every image is scaled and cropped to first; None: not at all.
        batch_size: images read at a time; it does not change results.
    """

    images: Path
    reference: Path
    extractors: Sequence[Chosen]
    metrics: Sequence[str]
    resize: int | None = None
    batch_size: int = 128
    mind_directions: int = 1000

    @property
    def used(self) -> Sequence[Chosen]:
        """The extractors that the metrics need."""
        every = any(METRICS[name].per_extractor for name in self.metrics)
        return self.extractors if every else self.extractors[:1]


def check_metrics(names: Sequence[str]) -> None:
    """Raise UserError, with the nearest name, for an unknown metric."""
    for name in names:
        if name not in METRICS:
            raise UserError(f"--metrics: unknown metric {name!r}{nearest(name, METRICS)}")


def score_images(wanted: Request) -> dict[str, Any]:
    """Return the content of a ``scores`` file: what was scored, and each metric's values and protocol.

    Raises UserError if a file is missing, damaged or unsuitable for a metric, and for unknown metrics.
    """
    check_metrics(wanted.metrics)
    reference = open_reference(wanted.reference, wanted.resize)
    reference.check(wanted.metrics, wanted.used)
    images = open_images(wanted.images, wanted.resize)
    _tell_sizes(images, reference)
    with (
        scratch_folder() as folder,
        _features(wanted, images, reference, folder) as (samples, real),
    ):
        spaces = [FeatureSpace(chosen.name, samples, real) for chosen in wanted.used]
        options = Options(wanted.mind_directions)
        scores = {name: measure(METRICS[name])(spaces, options) for name in wanted.metrics}
    return _content(wanted, images, scores)


def _tell_sizes(images: ImageSet, reference: Reference) -> None:
    """Warn if the compared images differ in size, because networks get each in its own size."""
    if isinstance(reference, RealImages) and reference.images.side != images.side:
        log.warning(
            "%s: %d pixels wide, but the reference's images are %d: scores depend on this difference, "
            "too; --resize scales both to the same size",
            *(images.name, images.side, reference.images.side),
        )


@contextmanager
def _features(
    wanted: Request, images: ImageSet, reference: Reference, folder: Path
) -> Iterator[tuple[h5py.File, h5py.File]]:
    """Yield files with the features of images and reference; every network is loaded once."""
    from nanogen.metrics.extractors import load_extractor

    samples, real = folder / "features.h5", folder / "reference.h5"
    batch, metrics = wanted.batch_size, wanted.metrics
    header = label(*FEATURES, "", passed_over=images.passed_over)
    with hdf5.create(samples, header) as s, hdf5.create(real, label(*REFERENCE, "")) as r:
        for position, chosen in enumerate(wanted.used):
            extractor, first = load_extractor(chosen.folder, chosen.model), position == 0
            write_extracted(
                s.create_group(chosen.name),
                extractor,
                images,
                batch,
                Kinds(logits=first and "is" in metrics, spatial=first and "sfid" in metrics),
            )
            group = r.create_group(chosen.name)
            reference.write(group, extractor, batch, metrics if first else ())
            _describe(group, chosen)
    with hdf5.opened(samples, *FEATURES) as s, hdf5.opened(reference.file or real, *REFERENCE) as r:
        yield s, r


def _describe(group: h5py.Group, chosen: Chosen) -> None:
    group.attrs["network"] = chosen.model.model_class
    if chosen.model.fdr_constant is not None:
        group.attrs["fdr_constant"] = chosen.model.fdr_constant


def _content(wanted: Request, images: ImageSet, scores: Mapping[str, Score]) -> dict[str, Any]:
    passed = {"passed_over": images.passed_over} if images.passed_over else {}
    about = {
        "images": {"path": str(wanted.images), "count": len(images), "side": images.side, **passed},
        "reference": str(wanted.reference),
        "resize": wanted.resize,
        "extractors": {
            c.name: {"network": c.model.model_class, "weights": c.weights} for c in wanted.used
        },
    }
    results = {name: {"values": v, "protocol": text} for name, (v, text) in scores.items()}
    return {**label(*SCORES, config_hash([about, list(scores)])), **about, "scores": results}
