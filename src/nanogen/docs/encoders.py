"""The published vision encoders, as a page: made from the registry."""

from __future__ import annotations

from itertools import groupby

from nanogen.config import encoder_registry
from nanogen.config.encoder_registry import Encoder
from nanogen.docs.markdown import code, table

INTRODUCTION = """# Vision encoders by name

Made from `config/encoders.yaml`. Each name below can stand wherever a file of `config/models/` can: as
the `encoder` of a term or of an RAE, or as a key of a study's `models`. `rae-NAME` is a representation
autoencoder on it, with the decoder and the training of `rae-dinov2-b`; a method needs no more than its
name:

```yaml
# config/methods/dinov2-l.yaml
title: DINOv2-L
family: rae
tokenizer: rae-dinov2-l
scales: {paper: {sampling: {guidance_scale: 5.0}}}
```

`NAME-multi`, where the family has it, is the mean of four blocks' features instead of the last one's,
each after the last norm, as RAEv2 makes them; `models.NAME.multilayer` chooses other blocks. What REG,
REPA and the terms compare with is the last block's. At scale `nano` a small network of the same class,
trained here, stands in. A new size is one line of the file.

The last norm: *plain* has no learned scale and shift, *learned* has them, *none* is not applied.
Latents are of images of 256 pixels. Sizes of downloads are approximate; SigLIP2's include the text
tower.
"""


def page() -> str:
    """The page of all encoders, in Markdown."""
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
