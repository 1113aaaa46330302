"""References that images are compared with: other images, a study's file, or published moments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

import h5py

from nanogen.config.metrics import BY_NAME
from nanogen.config.model_schema import Model
from nanogen.data import hdf5
from nanogen.data.image_sets import HDF5_SUFFIXES, ImageSet, array_names, open_images
from nanogen.errors import UserError
from nanogen.metrics.feature_extraction import SPATIAL, write_moments
from nanogen.metrics.feature_files import REFERENCE, write_real
from nanogen.metrics.published_moments import read_moments
from nanogen.models.card import read_card

if TYPE_CHECKING:
    from nanogen.metrics.extractors import Extractor


@dataclass(frozen=True)
class Chosen:
    """An extractor: its resolved configuration and its folder."""

    model: Model
    folder: Path

    @property
    def name(self) -> str:
        return str(self.model.name)

    @property
    def weights(self) -> str:
        """The hash of the stage that made the network, or its folder if it was made elsewhere."""
        card = read_card(self.folder)
        return str(card["hash"] if card else self.folder)


class Reference(Protocol):
    """The interface of all references."""

    @property
    def file(self) -> Path | None:
        """The reference file, if it already exists."""

    def check(self, metrics: Collection[str], extractors: Sequence[Chosen]) -> None:
        """Raise UserError, before anything is computed, for a metric whose data the reference lacks."""

    def write(
        self, group: h5py.Group, extractor: Extractor, batch: int, metrics: Collection[str]
    ) -> None:
        """Write what ``metrics`` need of a reference file's content for one extractor."""


def open_reference(path: Path, resize: int | None = None) -> Reference:
    """Open the reference at ``path``; raises UserError if it is missing or damaged."""
    if path.suffix in HDF5_SUFFIXES and path.exists() and hdf5.kind(path) == "reference":
        return ReferenceFile(path)
    if path.suffix == ".npz" and path.exists():
        names = array_names(path)
        if {"mu", "ref_mu"} & set(names):
            return MomentsFile(path, open_images(path, resize) if "arr_0" in names else None)
    return RealImages(open_images(path, resize))


def _require_constants(metrics: Collection[str], extractors: Sequence[Chosen]) -> None:
    for chosen in extractors:
        if "fdr" in metrics and chosen.model.fdr_constant is None:
            raise UserError(
                f"fdr divides by the constant of {chosen.name}, which config/models/{chosen.name}.yaml "
                "does not give at this scale: set fdr_constant there, take a study's reference file "
                "(reference/statistics.h5), or leave fdr out"
            )


@dataclass(frozen=True)
class RealImages:
    """Images, from which features and moments are computed."""

    images: ImageSet
    file: ClassVar[None] = None

    def check(self, metrics: Collection[str], extractors: Sequence[Chosen]) -> None:
        _require_constants(metrics, extractors)

    def write(
        self, group: h5py.Group, extractor: Extractor, batch: int, metrics: Collection[str]
    ) -> None:
        real = write_real(group, extractor, self.images, batch, spatial="sfid" in metrics)
        write_moments(group, real, group.attrs["images"])


@dataclass(frozen=True)
class MomentsFile:
    """An NPZ file of one network's moments, such as ADM's reference batches.

    It contains mu and sigma, for spatial features mu_s and sigma_s, and possibly the images, arr_0.
    """

    path: Path
    images: ImageSet | None
    file: ClassVar[None] = None

    def check(self, metrics: Collection[str], extractors: Sequence[Chosen]) -> None:
        _require_constants(metrics, extractors)
        if len(extractors) > 1:
            raise UserError(
                f"{self.path} holds moments of one network: give only that network as --extractor"
            )
        needy = [name for name in metrics if BY_NAME[name].real_images]
        if needy and self.images is None:
            raise UserError(
                f"{needy[0]} needs the real images, but {self.path} holds moments only: leave "
                f"{' and '.join(needy)} out of --metrics, or give images as --reference"
            )
        read_moments(self.path)
        if "sfid" in metrics:
            read_moments(self.path, spatial=True)

    def write(
        self, group: h5py.Group, extractor: Extractor, batch: int, metrics: Collection[str]
    ) -> None:
        source = f"the moments in {self.path}"
        if self.images and any(BY_NAME[name].real_images for name in metrics):
            write_real(group, extractor, self.images, batch, spatial=False)
        write_moments(group, read_moments(self.path, extractor.width), source)
        if "sfid" in metrics:
            write_moments(group.create_group(SPATIAL), read_moments(self.path, spatial=True), source)


@dataclass(frozen=True)
class ReferenceFile:
    """A study's reference file, made with the chosen networks."""

    file: Path

    def check(self, metrics: Collection[str], extractors: Sequence[Chosen]) -> None:
        with hdf5.opened(self.file, *REFERENCE) as found:
            for chosen in extractors:
                if chosen.name not in found:
                    raise UserError(
                        f"{self.file} has no extractor {chosen.name}; it has {', '.join(found)}"
                    )
                weights = found[chosen.name].attrs.get("weights")
                if weights != chosen.weights:
                    raise UserError(
                        f"{self.file} is of other weights of {chosen.name} ({weights}) than "
                        f"{chosen.folder} ({chosen.weights}); take both from one study"
                    )
            if "sfid" in metrics and SPATIAL not in found[extractors[0].name]:
                other = next((name for name in found if SPATIAL in found[name]), None)
                raise UserError(
                    f"{self.file} has no spatial features of {extractors[0].name}, which sfid needs: "
                    + (f"give {other} as the first --extractor" if other else "leave out sfid")
                )

    def write(
        self, group: h5py.Group, extractor: Extractor, batch: int, metrics: Collection[str]
    ) -> None:
        """Nothing to write: the file is complete."""
