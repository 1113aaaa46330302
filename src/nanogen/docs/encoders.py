"""The page of the published vision encoders, generated from the registry."""

from __future__ import annotations

from itertools import groupby

from nanogen.config import encoder_registry
from nanogen.config.encoder_registry import Encoder
from nanogen.docs.markdown import code, table

INTRODUCTION = """# Vision encoders by name

Generated from `config/encoders.yaml`. Each name below can be used like a file of `config/models/`: as
the `encoder` of a term or of an RAE, or as a key of a study's `models`. `rae-NAME` is a representation
autoencoder on that encoder, with the decoder and the training of `rae-dinov2-b`; a method only has to
name it:

```yaml
# config/methods/dinov2-l.yaml
title: DINOv2-L
family: rae
tokenizer: rae-dinov2-l
scales: {paper: {sampling: {guidance_scale: 5.0}}}
```

`NAME-multi`, where the family has it, takes the mean of four blocks' features instead of the last
block's, each after the last norm, as in RAEv2; `models.NAME.multilayer` selects other blocks. REG, REPA
and the terms compare with the last block's features. At scale `nano`, a small network of the same class
that is trained locally replaces the encoder. A new size takes one line in the file.

The last norm: *plain* has no learned scale and shift, *learned* has them, *none* means that it is not
applied. Latents are those of images of 256 pixels. Download sizes are approximate; those of SigLIP2
include the text tower.
"""


def page() -> str:
    """Return the page in Markdown."""
    parts = [INTRODUCTION]
    for title, group in groupby(encoder_registry.encoders().items(), lambda item: item[1].title):
        parts.append(_family(title, list(group)))
    return "\n".join(parts)


def _family(title: str, sizes: list[tuple[str, Encoder]]) -> str:
    header = ("name", "repository", "class", "patch", "fed", "latent", "MB")
    first = sizes[0][1]
    mean, std = (", ".join(map(str, values)) for values in (first.image_mean, first.image_std))
    more = " `NAME-multi` too." if first.multilayer else ""
    about = (
        f"Last norm {first.last_norm}; pixels minus ({mean}), over ({std}), {first.interpolation}; "
        f"licence {first.licence}{', gated' if first.gated else ''}.{more}"
    )
    return f"## {title}\n\n{about}\n\n{table(header, [_row(name, each) for name, each in sizes])}"


def _row(name: str, each: Encoder) -> tuple[object, ...]:
    latent = f"{each.width}×{each.rows}×{each.rows}"
    named = (code(name), code(each.repo), code(each.model_class))
    return (*named, each.patch, each.input_size, latent, f"{each.size_mb:.0f}")
