"""Quality and speed of a tokenizer's reconstructions: rFID, PSNR, SSIM, LPIPS, images per second.

Images are read and reconstructed batch by batch, so memory does not grow with their number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanogen.config.model_schema import Model
from nanogen.config.score_stages import ReconstructionStage
from nanogen.data import hdf5
from nanogen.data.image_sets import ImageSet, of_hdf5
from nanogen.data.images import ImageFile
from nanogen.data.pixels import TO_BYTES, to_unit
from nanogen.errors import UserError
from nanogen.files import label
from nanogen.metrics.extractors import NETWORK_BATCH, Extractor, load_extractor, rounded_up
from nanogen.metrics.frechet import Moments, few_images, frechet_distance, require_finite
from nanogen.metrics.metric_files import write_metric
from nanogen.metrics.similarity import psnr, ssim
from nanogen.models.card import expect_model
from nanogen.models.initialisation import seeded
from nanogen.models.perceptual import load_perceptual
from nanogen.tokenizers import Tokenizer, load_tokenizer
from nanogen.training.processes import Processes, share

RECONSTRUCTIONS = ("reconstructions", 1)  # format and version of the examples
SCORES, EXAMPLES = "reconstruction.json", "reconstructions.h5"
SHOWN = 8  # examples
UNTRAINED = "untrained"
# reconstructions and originals (N, 3, H, W) in [0, 1] -> (N,)
Distance = Callable[[Tensor, Tensor], Tensor]


class Codec:
    """A tokenizer whose encoding and decoding are timed.

    Attributes:
        seconds: time of encoding and of decoding ``images`` images. The first batch is processed twice
            and counted once, because libraries choose their algorithms in the first pass.
    """

    def __init__(self, name: str, tokenizer: Tokenizer, device: torch.device, pixels: str = "rounded"):
        self.name, self.tokenizer, self.device = name, tokenizer.to(device), device
        self.pixels = pixels
        self.images = 0
        self.seconds = np.zeros(2)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> their reconstructions, uint8.

        Raises UserError if they are not finite or of another size.
        """
        if not self.images:
            self.tokenizer.decode_for(self.pixels, self.tokenizer.encode(images))
        started = self._now()
        latents = self.tokenizer.encode(images)
        between = self._now()
        decoded = self.tokenizer.decode_for(self.pixels, latents)
        self.seconds += (between - started, self._now() - between)
        self.images += len(images)
        if decoded.shape[-2:] != images.shape[1:3]:
            raise UserError(
                f"{self.name} turns images of {images.shape[2]} pixels into {decoded.shape[-1]} pixels; "
                "data.resolution and the model's 'latent' do not fit"
            )
        if not torch.isfinite(decoded).all():
            raise UserError(
                f"the reconstructions of {self.name} are not finite (NaN or infinity): its weights are "
                "broken; make the model again"
            )
        return TO_BYTES[self.pixels](decoded)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


@dataclass
class Errors:
    """Measurements of one codec's reconstructions.

    Attributes:
        moments: moments of the extractor's features.
        distances: distances by name, (n,) for every batch.
        examples: the reconstructions to show, uint8 (n, H, W, 3) for every batch.
    """

    moments: Moments
    distances: dict[str, list[np.ndarray]]
    examples: list[np.ndarray] = field(default_factory=list)
    images: int = 0
    seconds: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def merge(self, other: Errors) -> None:
        """Add the measurements of another process, whose images follow these."""
        self.moments.merge(other.moments)
        for name, values in other.distances.items():
            self.distances[name] += values
        self.examples += other.examples
        self.images += other.images
        self.seconds = self.seconds + other.seconds

    def mean(self, name: str) -> float:
        return float(np.concatenate(self.distances[name]).mean(dtype=np.float64))


def shown_rows(count: int) -> np.ndarray:
    """Return the indices of the examples among ``count`` images: ``SHOWN``, evenly spaced, or all."""
    return np.unique(np.linspace(0, count - 1, min(count, SHOWN)).round().astype(np.int64))


def judge(
    codecs: Mapping[Codec, Mapping[str, Distance]],
    images: ImageSet,
    first: int,
    shown: np.ndarray,
    extractor: Extractor,
    batch: int,
) -> tuple[Errors, list[Errors]]:
    """Measure the originals (moments and examples) and the reconstructions of every codec.

    Args:
        codecs: the codecs, each with the distances to measure.
        images: a share of the set, which begins with the image at index ``first``.
        shown: indices of the images to keep as examples.
        batch: images read at a time. Networks get ``NETWORK_BATCH`` images, so results do not depend on
            it.
    """
    real = Errors(Moments(extractor.width), {})
    found = [Errors(Moments(extractor.width), {name: [] for name in by}) for by in codecs.values()]
    for pictures in images.batches(rounded_up(batch)):
        for part in np.split(pictures, range(NETWORK_BATCH, len(pictures), NETWORK_BATCH)):
            kept = shown[(shown >= first) & (shown < first + len(part))] - first
            _look(real, part, kept, extractor)
            for (codec, by), judged in zip(codecs.items(), found, strict=True):
                _compare(codec, by, judged, part, kept, extractor)
            first += len(part)
    return real, found


def _look(judged: Errors, images: np.ndarray, kept: np.ndarray, extractor: Extractor) -> None:
    features = extractor.in_network_batches(images).features
    require_finite(features, f"the features of extractor {extractor.name}")
    judged.moments.add(features)
    judged.examples.append(images[kept])
    judged.images += len(images)


@torch.inference_mode()
def _compare(
    codec: Codec,
    by: Mapping[str, Distance],
    judged: Errors,
    originals: np.ndarray,
    kept: np.ndarray,
    extractor: Extractor,
) -> None:
    given = torch.from_numpy(originals).to(codec.device)
    made = codec(given)
    judged.seconds = codec.seconds
    pair = to_unit(made), to_unit(given)
    for name, distance in by.items():
        judged.distances[name].append(distance(*pair).cpu().numpy())
    _look(judged, made.cpu().numpy(), kept, extractor)


def _perceptual(folder: Path, model: Model, device: torch.device) -> Distance:
    network = load_perceptual(folder, model).to(device)
    return lambda images, targets: network(2 * images - 1, 2 * targets - 1)


def write_reconstruction(
    content: Mapping[str, Any],
    val: Path,
    folders: Mapping[str, Path],
    output: Path,
    batch: int,
    group: Processes,
) -> None:
    """Write the files of a ``reconstruction`` stage to ``output``: the scores, and a few examples.

    Args:
        content: the stage's JSON.
        folders: folders of the ``tokenizer``, the ``extractor`` and, if the stage names one, the
            ``perceptual`` network.
        group: processes that share the images; each of them calls this function.

    Raises UserError if an input is missing, damaged or made with another configuration.
    """
    stage = ReconstructionStage.from_json(content)
    count = len(ImageFile(val, stage.expects["val"]))
    for role, folder in folders.items():
        expect_model(folder, stage.expects[role])
    extractor = load_extractor(folders["extractor"], stage.extractor)
    codecs = _codecs(stage, folders, group.device)
    start, stop = share(count, group.rank, group.world, NETWORK_BATCH)
    images, shown = of_hdf5(val, "validation images", start, stop), shown_rows(count)
    found = group.gathered(judge(codecs, images, start, shown, extractor, batch))
    if not group.main:
        return
    (real, judged), *others = found
    for other_real, other_judged in others:
        real.merge(other_real)
        for one, other in zip(judged, other_judged, strict=True):
            one.merge(other)
    _write_examples(stage, output / EXAMPLES, shown, real, judged[0])
    protocol = _protocol(stage, count, extractor, group.device)
    about = {"tokenizer": stage.tokenizer.name}
    write_metric(output / SCORES, stage, "reconstruction", about, (values_of(real, judged), protocol))


def _codecs(
    stage: ReconstructionStage, folders: Mapping[str, Path], device: torch.device
) -> dict[Codec, dict[str, Distance]]:
    """Return the tokenizer and, if the study trains it, its untrained version, with their distances."""
    name, tokenizer = stage.tokenizer.name, load_tokenizer(folders["tokenizer"], stage.tokenizer)
    by: dict[str, Distance] = {"psnr": psnr, "ssim": ssim}
    if stage.perceptual:
        by["lpips"] = _perceptual(folders["perceptual"], stage.perceptual, device)
    codecs = {Codec(name, tokenizer, device, stage.pixels): by}
    if stage.untrained:
        with seeded(stage.seed, "build", name, "weights"):
            before = tokenizer.untrained()
        codecs[Codec(f"{name}, untrained,", before, device, stage.pixels)] = {"psnr": psnr}
    return codecs


def values_of(real: Errors, judged: list[Errors]) -> dict[str, float]:
    """Return the scores by name, of the tokenizer and possibly of its untrained version."""
    trained, *before = judged
    encoded, decoded = trained.images / trained.seconds
    values = {"rfid": _rfid(real, trained), **{name: trained.mean(name) for name in trained.distances}}
    values |= {"encode_images_per_second": float(encoded), "decode_images_per_second": float(decoded)}
    for other in before:
        values |= {f"rfid_{UNTRAINED}": _rfid(real, other), f"psnr_{UNTRAINED}": other.mean("psnr")}
    return values


def _rfid(real: Errors, made: Errors) -> float:
    moments = (part for m in (real.moments, made.moments) for part in (m.mean, m.covariance))
    return frechet_distance(*moments)


def _protocol(stage: ReconstructionStage, count: int, extractor: Extractor, device: torch.device) -> str:
    of, by = stage.extractor, stage.perceptual
    shortage = few_images(count, extractor.width)
    threads = torch.get_num_threads()
    cpu = f"a CPU with {threads} thread{'s' if threads > 1 else ''}"
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    sentences = [
        f"{count} validation images and what becomes of them, rounded to 8 bits",
        f"rFID: Frechet distance between both sets of the features of {of.name} "
        f"({of.model_class}, {extractor.width} features)" + (f", {shortage}" if shortage else ""),
        "PSNR and SSIM (Gaussian window of 11 x 11, data range 1): per image, then the mean",
        *([f"LPIPS: the mean distance of {by.name} ({by.model_class})"] if by else []),
        f"images/s: of one process on {where}, {NETWORK_BATCH} images at a time, float32",
    ]
    return "; ".join(sentences)


def _write_examples(
    stage: ReconstructionStage, path: Path, rows: np.ndarray, real: Errors, made: Errors
) -> None:
    header = label(*RECONSTRUCTIONS, stage.hash, tokenizer=stage.tokenizer.name)
    with hdf5.create(path, header) as file:
        file["rows"] = rows
        file["originals"] = np.concatenate(real.examples)
        file["reconstructions"] = np.concatenate(made.examples)
