"""Write random networks of the classes that a full study downloads, in the same format.

A rehearsal runs the whole workflow with them. Their architecture comes from the configuration: latents
and features have the real channels and grids, and the depth is small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from nanogen.config.model_stage import ModelStage
from nanogen.errors import UserError, nearest
from nanogen.models import encoders
from nanogen.models.initialisation import seeded


def write_random_network(stage: ModelStage, folder: Path) -> None:
    """Write the network of a ``model`` stage whose source is random into ``folder``, which must exist.

    Its weights depend on the study's seed and the model's name. Raises UserError if the class is not
    known or the architecture does not fit it.
    """
    model = stage.model
    if model.kind not in WRITERS:
        raise UserError(
            f"config/models/{model.name}.yaml: a model of kind {model.kind!r} has no random "
            f"network{nearest(model.kind, WRITERS)}"
        )
    with seeded(stage.seed, "stand-in", model.name):
        WRITERS[model.kind](stage, folder)


def _encoder(stage: ModelStage, folder: Path) -> None:
    from nanogen.models import timm_networks

    model = stage.model
    if timm_networks.is_timm(model.model_class):
        network = timm_networks.build(model.model_class, model.architecture)
        timm_networks.save(network, model.architecture, folder)
    else:
        encoders.save_encoder(encoders.build_encoder(model), model, folder)


def _vae(stage: ModelStage, folder: Path) -> None:
    from nanogen.models.loading import save_network
    from nanogen.stage1.vae import build

    assert stage.resolution is not None
    network = build(stage.model, stage.resolution)
    if hasattr(network, "bn"):  # moments that differ from those of a new BatchNorm
        nn.init.normal_(network.bn.running_mean, std=0.1)
        nn.init.uniform_(network.bn.running_var, 0.5, 2.0)
    save_network(network, folder)


def _text_encoder(stage: ModelStage, folder: Path) -> None:
    """Write a language model and a tokenizer, which is trained on prompts but covers any text."""
    from nanogen.models.loading import save_network
    from nanogen.prompts.prompts import scene_prompts
    from nanogen.small_networks.text_encoder import build, train_tokenizer

    tokenizer = train_tokenizer([prompt["prompt"] for prompt in scene_prompts(stage.seed)])
    network = build(stage.model, len(tokenizer), tokenizer.pad_token_id)
    save_network(network.model, folder)
    tokenizer.save_pretrained(folder)


def _extractor(stage: ModelStage, folder: Path) -> None:
    """Write an extractor, with standard normal moments instead of the published statistics."""
    from nanogen.metrics.extractors import INCEPTION, SMALL_INCEPTION
    from nanogen.models import timm_networks
    from nanogen.models.network_files import save_network
    from nanogen.models.small_inception import SmallInception

    model = stage.model
    if model.model_class == INCEPTION:
        network, width = _inception()
        config: dict[str, Any] = {"_class_name": INCEPTION}
    elif model.model_class == SMALL_INCEPTION:
        arguments = {"classes": 1000, **model.architecture}
        network = SmallInception(**arguments)
        config, width = {"_class_name": model.model_class, "arguments": arguments}, network.width
    else:
        name = model.model_class.removeprefix("timm:")
        config = {"architecture": name, "num_classes": 0, "model_args": model.architecture}
        network = timm_networks.build(model.model_class, model.architecture)
        width = network.num_features
    save_network(network, config, folder)
    for name in filter(None, (model.statistics, model.fdr_statistics)):
        np.savez(folder / f"{name}.npz", mu=np.zeros(width), sigma=np.eye(width))


def _inception() -> tuple[nn.Module, int]:
    """Build Inception-v3 with weights scaled so that features do not vanish from layer to layer."""
    from nanogen.models.inception import WIDTH, InceptionV3

    network = InceptionV3()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network, WIDTH


def _detector(stage: ModelStage, folder: Path) -> None:
    """Write a Mask2Former whose meaningless predictions are confident enough to exercise GenEval."""
    from transformers import (
        AutoConfig,
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
    )

    from nanogen.metrics.mask2former import MASK2FORMER
    from nanogen.models.loading import save_network

    model = stage.model
    if model.model_class != MASK2FORMER:
        raise UserError(
            f"config/models/{model.name}.yaml: there is no random network of class {model.model_class}; "
            "set its source to download or path"
        )
    keys = dict(model.architecture)
    backbone = AutoConfig.for_model(**keys.pop("backbone_config"))
    network = Mask2FormerForUniversalSegmentation(Mask2FormerConfig(backbone_config=backbone, **keys))
    nn.init.normal_(network.class_predictor.weight)
    save_network(network, folder)
    Mask2FormerImageProcessor().save_pretrained(folder)


def _color_classifier(stage: ModelStage, folder: Path) -> None:
    """Write a CLIP whose tokenizer has single bytes as tokens, at the end of a word and within it."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    from nanogen.models.loading import LibraryNetwork, save_network

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])
    keys = dict(stage.model.architecture)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    keys["text_config"] = {**keys["text_config"], "vocab_size": len(words), **ends}
    network: LibraryNetwork = CLIPModel(CLIPConfig(**keys))
    save_network(network, folder)
    tokenizer.save_pretrained(folder)
    size = network.config.vision_config.image_size
    CLIPImageProcessor(size={"shortest_edge": size}, crop_size=size).save_pretrained(folder)


def _perceptual(stage: ModelStage, folder: Path) -> None:
    from nanogen.models.perceptual import LPIPS

    if stage.model.model_class != LPIPS:
        _extractor(stage, folder)
        return
    from safetensors.torch import save_file
    from torchvision.models import vgg16

    weights = vgg16().features.state_dict(prefix="features.")  # all that LPIPS reads
    save_file(weights, folder / "model.safetensors")


def _vqa(stage: ModelStage, folder: Path) -> None:
    """Write a judge (`nanogen.interop.judges`) whose tokenizer has few words besides yes and no."""
    from nanogen.interop.judges import network_of
    from nanogen.models import clip_flant5, mplug
    from nanogen.models.network_files import save_state

    model = stage.model
    arguments = dict(model.architecture)
    if model.model_class == mplug.CLASS:
        letters = "abcdefghijklmnopqrstuvwxyz?"
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "yes", "no", *letters, *(f"##{x}" for x in letters)]
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
        arguments["text_config"] = {**arguments["text_config"], "vocab_size": len(words)}
    else:
        tokenizer = _ending_tokenizer(stage)
        tokenizer.save_pretrained(folder)
        end = tokenizer.eos_token_id
        own = {"vocab_size": len(tokenizer), "eos_token_id": end, "pad_token_id": end}
        arguments["text_config"] = {**arguments["text_config"], **own, "decoder_start_token_id": end}
    network = network_of(model.model_class, arguments)
    state = {
        name: weight
        for name, weight in network.state_dict().items()
        if not name.startswith(clip_flant5.SKIPPED)
    }
    save_state(state, {"_class_name": model.model_class, "arguments": arguments}, folder)


def _ending_tokenizer(stage: ModelStage) -> Any:
    """Train a tokenizer on prompts of scenes that adds an end token like those of CLIP and T5."""
    from tokenizers.processors import TemplateProcessing

    from nanogen.prompts.simpleeval import OBJECTS, simple_prompts
    from nanogen.small_networks.text_encoder import END, train_tokenizer

    prompts = simple_prompts(stage.seed, OBJECTS.name, 300)
    tokenizer = train_tokenizer([prompt["prompt"] for prompt in prompts])
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, tokenizer.eos_token_id)]
    )
    return tokenizer


def _weak_scorer(stage: ModelStage, folder: Path) -> None:
    """Write a CLIPModel."""
    from transformers import CLIPConfig, CLIPModel

    from nanogen.models.loading import save_network

    tokenizer = _ending_tokenizer(stage)
    end = tokenizer.eos_token_id
    architecture = stage.model.architecture
    own = {"vocab_size": len(tokenizer), "eos_token_id": end, "pad_token_id": end, "bos_token_id": end}
    keys = {**architecture, "text_config": {**architecture["text_config"], **own}}
    save_network(CLIPModel(CLIPConfig(**keys)), folder)
    tokenizer.save_pretrained(folder)


WRITERS = {
    "perceptual": _perceptual,
    "encoder": _encoder,
    "vae": _vae,
    "text_encoder": _text_encoder,
    "extractor": _extractor,
    "detector": _detector,
    "color_classifier": _color_classifier,
    "weak_scorer": _weak_scorer,
    "vqa": _vqa,
}
