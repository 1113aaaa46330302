"""`nanogen sample`: draw images from a trained model, by hand or as a study's sample set."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanogen.cli.common import at_least, read_stage
from nanogen.data.walk import PICTURES
from nanogen.errors import UserError

BY_HAND = (
    "prompt",
    "class_name",
    "count",
    "steps",
    "guidance",
    "seed",
    "text_encoder",
)
OF_A_SET = ("prompts", "text", "pipeline", "chosen_guidance", "kept")
if TYPE_CHECKING:
    from nanogen.config.sample_stage import PublicSampleStage, SampleStage
    from nanogen.sampling.draw import Drawn

COLUMNS = 8  # of a grid with one image per text


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "example: nanogen sample --model results/nano/runs/t2i/sd-vae-mse/model "
        "--prompt 'a red circle' --prompt 'two blue squares' --output images.png"
    )
    parser.add_argument("--model", type=Path, help="folder of the trained (or imported) model")
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer that decodes")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="X.png (a grid) or a folder; with --config, an HDF5 file",
    )
    size = at_least("--batch-size", 1)
    parser.add_argument("--batch-size", type=size, default=50, help="images at a time (default: 50)")
    hand = parser.add_argument_group("by hand; defaults are those of the model's study")
    hand.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="prompt, for a text-to-image model; may be repeated",
    )
    hand.add_argument(
        "--class",
        action="append",
        dest="class_name",
        metavar="NAME",
        help="name or number of a class, for a class-conditional model; may be repeated",
    )
    hand.add_argument("--count", type=int, help="images per prompt or class (default: 1)")
    hand.add_argument("--steps", type=int, help="steps of the solver")
    hand.add_argument("--guidance", type=float, help="guidance scale; 1 means no guidance")
    hand.add_argument("--seed", type=int, help="seed of the noise (default: the model's)")
    hand.add_argument(
        "--text-encoder",
        type=Path,
        help="folder of the text encoder (default: the study's, if it is found)",
    )
    sample_set = parser.add_argument_group("a study's sample set, as Snakemake's rule calls it")
    sample_set.add_argument("--config", type=Path, help="the stage's configuration")
    sample_set.add_argument("--prompts", type=Path, help="prompts, for text-to-image")
    sample_set.add_argument("--text", type=Path, help="the prompts' text features")
    sample_set.add_argument(
        "--chosen-guidance", type=Path, help="guidance scale that a sweep chose (JSON)"
    )
    sample_set.add_argument("--kept", type=Path, help="averaged weights kept during training")
    sample_set.add_argument("--pipeline", type=Path, help="folder of a public model's pipeline")


def run(args: argparse.Namespace) -> None:
    if args.config is None:
        _refuse(args, OF_A_SET, "belongs to a study's sample set and needs --config STAGE")
        _by_hand(args)
    else:
        _refuse(args, BY_HAND, "is for images by hand; a study's sample set has --config instead")
        _sample_set(args)


def _refuse(args: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if getattr(args, name) is not None:
            option = {"class_name": "class"}.get(name, name.replace("_", "-"))
            raise UserError(f"--{option} {why}")


def _by_hand(args: argparse.Namespace) -> None:
    if args.model is None:
        raise UserError("give --model DIR, the folder of a trained model (or a study's --config STAGE)")
    if args.output.suffix.lower() in PICTURES - {".png"}:
        raise UserError(f"--output {args.output}: images are written as PNG; give X.png or a folder")
    from nanogen.config import trained
    from nanogen.sampling.draw import Request, draw
    from nanogen.training.processes import processes

    given = {name: getattr(args, name) for name in ("steps", "guidance", "seed", "text_encoder")}
    count = 1 if args.count is None else args.count
    wanted = Request(args.class_name or (), args.prompt or (), count, tokenizer=args.tokenizer, **given)
    with processes() as group:
        drawn = draw(args.model, wanted, args.batch_size, group.device)
    stage = trained.read(args.model)
    for path in write_images(drawn, args.output, count, f"{stage['method']} on {stage['task']}"):
        print(path)


def _sample_set(args: argparse.Namespace) -> None:
    from nanogen.config.sample_stage import SampleStage, sample_stage
    from nanogen.prompts.files import first_images
    from nanogen.sampling.generate import Subset, generate, labels_of
    from nanogen.training.processes import processes

    stage = sample_stage(read_stage(args.config, "sample"))
    if isinstance(stage, SampleStage):
        stage = _with_scale(stage, args.chosen_guidance)
    with processes() as group:
        if isinstance(stage, SampleStage):
            generator, conditions, prompts = _trained(stage, args, group.device)
        else:
            generator, conditions, prompts = _public(stage, args, group.device)
        labels = labels_of(stage, prompts)
        if isinstance(stage, SampleStage) and stage.shown:
            chosen = first_images(labels, prompts or [], stage.shown)
            generator, labels = Subset(generator, chosen), labels[chosen]
        generate(stage, generator, labels, conditions, args.batch_size, group, args.output)


def _with_scale(stage: SampleStage, chosen: Path | None) -> SampleStage:
    """Return the stage, with the guidance scale that its sweep chose if it is sampled with it."""
    if "guidance" not in stage.expects:
        return stage
    from nanogen.metrics.guidance_choice import read_choice

    if chosen is None:
        raise UserError(f"variant {stage.variant} needs --chosen-guidance FILE")
    scale = read_choice(chosen, stage.expects["guidance"]).scale
    return replace(stage, sampling=stage.sampling.model_copy(update={"guidance_scale": scale}))


# generator, function from labels to its conditions, prompts (None: it draws classes)
Drawing = tuple[Any, Callable[[Any], Any], list[dict[str, Any]] | None]


def _trained(stage: SampleStage, args: argparse.Namespace, device: Any) -> Drawing:
    """Return the generator of a trained model."""
    from nanogen.sampling.generate import Generator

    model = _model(stage, args.model)
    if stage.kept:
        _load_kept(model, stage, stage.kept, args.kept)
    generator = Generator(stage, model, _tokenizer(stage, args), device)
    return generator, *_conditions(stage, args)


def _public(stage: PublicSampleStage, args: argparse.Namespace, device: Any) -> Drawing:
    """Return the generator of a public model's pipeline, whose conditions are the prompts' text."""
    from nanogen.models.card import expect_model
    from nanogen.models.pipelines import load_pipeline
    from nanogen.sampling.inputs import prompts_of
    from nanogen.sampling.public import PublicGenerator

    if args.pipeline is None or args.prompts is None:
        raise UserError(f"{stage.method} is a public model: give --pipeline DIR and --prompts FILE")
    expect_model(args.pipeline, stage.expects["pipeline"])
    prompts = prompts_of(stage, args.prompts)
    texts = [prompt["prompt"] for prompt in prompts]
    pipeline = load_pipeline(args.pipeline, stage.model_class, stage.sampling.precision)
    generator = PublicGenerator(stage, pipeline, device)
    return generator, (lambda labels: [texts[label] for label in labels]), prompts


def _model(stage: SampleStage, folder: Path | None) -> Any:
    from nanogen.backbones import load
    from nanogen.models.card import expect_model
    from nanogen.sampling.untrained import untrained

    if stage.variant == "untrained":
        return untrained(stage.train)
    if folder is None:
        raise UserError(f"variant {stage.variant} needs --model DIR")
    expect_model(folder, stage.expects["model"])
    return load(folder)


def _load_kept(model: Any, stage: SampleStage, step: int, path: Path | None) -> None:
    """Load the averaged weights that the training kept after ``step``."""
    from nanogen.stage2.snapshots import read

    if path is None:
        raise UserError(f"variant {stage.variant} needs --kept FILE")
    model.load_state_dict(read(path, step, stage.expects["model"]))


def _tokenizer(stage: SampleStage, args: argparse.Namespace) -> Any:
    from nanogen.sampling.inputs import tokenizer_of

    if stage.tokenizer != "pixels" and args.tokenizer is None:
        raise UserError(f"{stage.method} decodes with {stage.tokenizer}: give --tokenizer DIR")
    return tokenizer_of(stage, args.tokenizer)


def _conditions(stage: SampleStage, args: argparse.Namespace) -> tuple[Any, list[dict[str, Any]] | None]:
    """Return (function from labels to conditions, prompts or None)."""
    from nanogen.sampling.inputs import class_conditions, prompts_of, text_conditions

    if stage.train.conditioner.kind == "label":
        return class_conditions, None
    if args.text is None or (args.prompts is None and stage.task == "t2i"):
        raise UserError(
            "text-to-image needs --prompts FILE and --text FILE; classes as text need --text FILE"
        )
    prompts = prompts_of(stage, args.prompts) if stage.task == "t2i" else None
    return text_conditions(stage, args.text), prompts


def write_images(drawn: Sequence[Drawn], output: Path, count: int, title: str) -> list[Path]:
    """Save a grid if ``output`` ends in .png, otherwise one file per image in the folder ``output``.

    A row of the grid has the ``count`` images of one text, or images of several texts if ``count`` is 1.
    """
    from PIL import Image

    from nanogen.files import atomic_path
    from nanogen.report.sample_grids import Cell, Line, compose

    if output.suffix.lower() == ".png":
        cells = [Cell(item.image, item.text) for item in drawn]
        width = count if count > 1 else COLUMNS
        lines = [Line("", cells[i : i + width]) for i in range(0, len(cells), width)]
        pages = {output: compose(lines, title)}
    else:
        pages = {output / f"{i:05d}.png": Image.fromarray(d.image) for i, d in enumerate(drawn)}
    for path, page in pages.items():
        with atomic_path(path) as temporary:
            page.save(temporary, format="PNG")
    return list(pages)
