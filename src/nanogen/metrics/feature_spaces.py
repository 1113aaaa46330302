"""Score generated images in the feature spaces of extractors; every score comes with a protocol."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h5py
import numpy as np

from nanogen.config.metrics import OF_SIX, SIX
from nanogen.data import hdf5
from nanogen.errors import UserError
from nanogen.identity import seed_for
from nanogen.metrics.class_accuracy import CONFIDENCE, class_accuracy
from nanogen.metrics.class_labels import LABELS, REAL_ACCURACY
from nanogen.metrics.distribution import few_for_classes, inception_score, mind
from nanogen.metrics.feature_extraction import FOR_FDR, SPATIAL
from nanogen.metrics.frechet import few_images, frechet_distance, moments_of
from nanogen.metrics.metric_files import Score
from nanogen.metrics.neighbours import precision_recall

log = logging.getLogger(__name__)
IS_SPLITS = 10
NEIGHBOURS = 3  # k: in precision and recall, a ball's radius is the distance to the k-th neighbour


@dataclass(frozen=True)
class Frechet:
    """A Frechet distance, with a description of its inputs.

    Attributes:
        width: number of features.
        source: a description of the source of the real images' moments.
        shortage: a clause about the effect of too few generated images; empty if there are enough.
    """

    distance: float
    width: int
    source: str
    shortage: str

    @classmethod
    def between(
        cls, name: str, count: int, mu: np.ndarray, sigma: np.ndarray, real: h5py.Group
    ) -> Frechet:
        """Compute the distance of the moments of ``count`` generated images from those in ``real``."""
        shortage = few_images(count, len(mu))
        if shortage:
            log.warning("%s: %s", name, shortage)
        return cls(
            frechet_distance(mu, sigma, real["mu"][:], real["sigma"][:]),
            len(mu),
            str(real.attrs["moments"]),
            f"; {shortage}" if shortage else "",
        )


class FeatureSpace:
    """An extractor's features of the generated images, and the reference they are compared with.

    A reference of published moments has no features, and not every reference has a constant.
    """

    def __init__(self, name: str, samples: h5py.File, reference: h5py.File):
        for file in (samples, reference):
            if name not in file:
                raise UserError(f"{file.filename} has no features of extractor {name}; make it again")
        self.name = name
        self.network = str(reference[name].attrs["network"])
        self.features: np.ndarray = hdf5.memmap(samples, f"{name}/features")
        self._samples, self._reference = samples[name], reference[name]

    def __len__(self) -> int:
        return len(self.features)

    @property
    def counted(self) -> str:
        """The number of images, with a description of files that were passed over."""
        passed = str(self._samples.file.attrs.get("passed_over", ""))
        return f"{len(self)} generated images{f' (passed over: {passed})' if passed else ''}"

    def _part(self, group: h5py.Group, part: str, needs: str) -> Any:
        if part not in group:
            raise UserError(
                f"{needs} needs {part} of extractor {self.name}; {group.file.filename} holds none"
            )
        return group[part]

    @cached_property
    def real(self) -> np.ndarray:
        """Features (m, d) of the real images."""
        self._part(self._reference, "features", "a comparison with the real images")
        return hdf5.memmap(self._reference.file, f"{self.name}/features")

    @property
    def real_images(self) -> str:
        return str(self._reference.attrs["images"])

    @property
    def logits(self) -> np.ndarray:
        return self._part(self._samples, "logits", "a score of classes")[:]

    @property
    def labels(self) -> np.ndarray:
        """The classes that the images were generated for, int64 (n,)."""
        file = self._samples.file
        if LABELS not in file:
            raise UserError(f"{file.filename} holds no labels, which the class accuracy needs")
        return file[LABELS][:]

    @property
    def real_accuracy(self) -> float | None:
        """The network's accuracy on real images that it was not trained on, if it is known."""
        return self._samples.attrs.get(REAL_ACCURACY)

    @property
    def constant(self) -> float:
        if "fdr_constant" not in self._reference.attrs:
            raise UserError(f"FDr needs the constant of extractor {self.name}; the reference has none")
        return float(self._reference.attrs["fdr_constant"])

    @cached_property
    def _moments(self) -> tuple[int, np.ndarray, np.ndarray]:
        generated = moments_of(self.features)
        return len(self), generated.mean, generated.covariance

    @cached_property
    def frechet(self) -> Frechet:
        """The distance in the space of the pooled features."""
        return Frechet.between(self.name, *self._moments, self._reference)

    @cached_property
    def divided(self) -> Frechet:
        """The distance in FDr: `frechet`, unless other moments are published for FDr."""
        if FOR_FDR not in self._reference:
            return self.frechet
        return Frechet.between(self.name, *self._moments, self._reference[FOR_FDR])

    @cached_property
    def spatial(self) -> Frechet:
        """The distance in the space of the spatial features."""
        generated, real = (
            self._part(group, SPATIAL, "sFID") for group in (self._samples, self._reference)
        )
        own = (len(self), generated["mu"][:], generated["sigma"][:])
        return Frechet.between(self.name, *own, real)


@dataclass(frozen=True)
class Options:
    """How features are scored.

    Attributes:
        mind_directions: number of random projections that MIND averages over.
        classifier: the extractor whose predictions give the class accuracy; None if there is none.
    """

    mind_directions: int = 1000
    classifier: str | None = None


def _space(space: FeatureSpace, width: int) -> str:
    return f"{space.name} ({space.network}, {width} features)"


def fid(spaces: Sequence[FeatureSpace], _: Options) -> Score:
    """Compute the Frechet distance in the first extractor's space."""
    found = spaces[0].frechet
    protocol = (
        f"{spaces[0].counted} against {found.source}: Frechet distance of "
        f"the features of {_space(spaces[0], found.width)}{found.shortage}"
    )
    return {"fid": found.distance}, protocol


def sfid(spaces: Sequence[FeatureSpace], _: Options) -> Score:
    """sFID (Nash et al. 2021, arXiv 2103.03841): the distance of spatial features."""
    found = spaces[0].spatial
    protocol = (
        f"{spaces[0].counted} against {found.source}: Frechet distance of "
        f"spatial features, a few channels at every place, of {_space(spaces[0], found.width)}"
        f"{found.shortage}"
    )
    return {"sfid": found.distance}, protocol


def fdr(spaces: Sequence[FeatureSpace], _: Options) -> Score:
    """Compute the Frechet distance in every space, divided by the constant of the space."""
    constants = ", ".join(
        f"{s.name} {s.constant:.6g} against {s.divided.source}{s.divided.shortage}" for s in spaces
    )
    protocol = (
        f"{spaces[0].counted}: Frechet distance divided by that of training "
        f"and validation images ({constants})"
    )
    return _with_mean("fdr", {s.name: s.divided.distance / s.constant for s in spaces}), protocol


def _with_mean(metric: str, of_space: dict[str, float]) -> dict[str, float]:
    """Return the values by column, and their mean over the authors' six extractors if all are there."""
    six = [of_space[name] for name in SIX if name in of_space]
    mean = {OF_SIX: float(np.mean(six))} if len(six) == len(SIX) else {}
    return {f"{metric}_{name}": value for name, value in {**of_space, **mean}.items()}


def mind_scores(spaces: Sequence[FeatureSpace], options: Options) -> Score:
    """Compute MIND in every space, against the features of the real images."""
    protocol = (
        f"{spaces[0].counted} against {spaces[0].real_images}, "
        f"the larger set subsampled to the smaller, {options.mind_directions} directions from seed "
        f"2020, features of {', '.join(s.name for s in spaces)}"
    )
    found = {s.name: mind(s.features, s.real, options.mind_directions) for s in spaces}
    return _with_mean("mind", found), protocol


def inception(spaces: Sequence[FeatureSpace], _: Options) -> Score:
    """Inception Score from the first extractor's logits."""
    logits = spaces[0].logits
    splits = min(IS_SPLITS, len(logits))
    shortage = few_for_classes(len(logits), splits, logits.shape[1])
    if shortage:
        log.warning("Inception Score: %s", shortage)
    protocol = (
        f"{spaces[0].counted} in {splits} splits: classes of {spaces[0].name} "
        f"({logits.shape[1]} classes, the largest possible score){'; ' if shortage else ''}{shortage}"
    )
    return {"is": inception_score(logits, splits)}, protocol


def _some(rows: np.ndarray, count: int) -> np.ndarray:
    """Return a fixed random choice of ``count`` rows, in their original order."""
    if len(rows) == count:
        return rows
    generator = np.random.default_rng(seed_for("precision-recall", len(rows), count))
    return rows[np.sort(generator.choice(len(rows), count, replace=False))]


def precision_and_recall(spaces: Sequence[FeatureSpace], _: Options) -> Score:
    """Compute precision and recall in the first extractor's space, for equally many images of both."""
    space = spaces[0]
    count = min(len(space), len(space.real))
    real, generated = (_some(rows, count) for rows in (space.real, space.features))
    precision, recall = precision_recall(real, generated, NEIGHBOURS)
    protocol = (
        f"{space.counted} against {space.real_images}, the larger set subsampled to the "
        f"smaller, balls to the {NEIGHBOURS}rd nearest neighbour, features of {space.name}"
    )
    return {"precision": precision, "recall": recall}, protocol


def accuracy(spaces: Sequence[FeatureSpace], options: Options) -> Score:
    """Class accuracy, from the classifier's logits and the images' labels."""
    space = next(space for space in spaces if space.name == options.classifier)
    logits, real = space.logits, space.real_accuracy
    known = "" if real is None else f", right on {real:.3f} of real validation images"
    protocol = (
        f"{space.counted}: share whose class is the top one of the {logits.shape[1]} of "
        f"{space.name} ({space.network}), which no model is trained with{known}; interval: "
        f"{CONFIDENCE:.0%}, Wilson's; chance: the labels in random order"
    )
    return class_accuracy(logits, space.labels), protocol
