"""What a tokenizer's training needs: frozen networks, and keys that fit its kind."""

from __future__ import annotations

from nanogen.config.model_schema import Model
from nanogen.errors import UserError

ROLES = ("encoder", "perceptual", "discriminator")


def networks_of(config: Model) -> dict[str, str]:
    """Return role -> frozen network that a model is made with.

    The roles are ``encoder`` and, if the model is trained here, ``start`` (the VAE that it starts from)
    and the loss's ``perceptual`` and ``discriminator``, if it has them.
    """
    recipe = config.stage1 if config.source == "build" else None
    read = {
        "encoder": True,
        "perceptual": bool(recipe and recipe.terms.perceptual),
        "discriminator": bool(recipe and recipe.adversarial),
    }
    named = {role: getattr(config, role) for role in ROLES if read[role]}
    found = {role: name for role, name in named.items() if name is not None}
    tuning = config.end_to_end if config.source == "build" else None
    return found | ({"start": tuning.start, "encoder": tuning.encoder} if tuning else {})


def check(config: Model) -> None:
    """Raise UserError if ``stage1`` needs something that the model does not name or have."""
    where, recipe = f"config/models/{config.name}.yaml", config.stage1
    assert recipe is not None
    needed = {
        "encoder": (config.kind == "rae", "kind rae"),
        "perceptual": (recipe.terms.perceptual, "stage1.terms.perceptual"),
        "discriminator": (recipe.adversarial, "stage1.adversarial"),
    }
    for role, (asked, by) in needed.items():
        if asked and getattr(config, role) is None:
            raise UserError(f"{where}: '{role}' must name a frozen network in config/models, for {by}")
    others: dict[str, dict[str, float | None]] = {
        "rae": {"terms.kl": recipe.terms.kl, "crop": recipe.crop},
        "vae": {"noise": recipe.noise},
    }
    for key, value in others[config.kind].items():
        if value:
            raise UserError(f"{where}: stage1.{key} means nothing to kind {config.kind}; leave it out")
    adversarial = recipe.adversarial
    if adversarial and adversarial.gan_start < adversarial.disc_start:
        raise UserError(
            f"{where}: stage1.adversarial.gan_start {adversarial.gan_start} lies before disc_start "
            f"{adversarial.disc_start}; a discriminator is used once it is trained"
        )
    if adversarial and adversarial.kernel % 2 == 0:
        raise UserError(
            f"{where}: stage1.adversarial.kernel {adversarial.kernel} has no middle; make it odd"
        )
