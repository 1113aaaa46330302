# Input and parameter functions of the rules for the tokenizers.


def tokenizer_inputs(wildcards):
    """Named inputs of a tokenizer's training: images, and the cards of the frozen networks that it uses
    as encoder, perceptual distance or discriminator."""
    model = MODELS[wildcards.model]
    networks = dict.fromkeys(tokenizer_networks.networks_of(model).values())
    return {
        "train": PATHS.data(model.data, "train"),
        "val": PATHS.data(model.data, "val"),
        **{f"network:{name}": PATHS.model_card(name) for name in networks},
    }


def tokenizers_built(tuned):
    """Return a wildcard pattern for tokenizers trained from scratch or, if ``tuned``, from another."""
    built = [m for m in MODELS.values() if m.source == "build" and m.kind in ("vae", "rae")]
    return "|".join(re.escape(m.name) for m in built if bool(m.end_to_end) == tuned) or "(?!)"


def tokenizer_state(wildcards):
    """Folder in which a tokenizer's training saves its state, outside the outputs."""
    return f"{ROOT}/state/{stages.model(STUDY, wildcards.model)['hash']}"


def reconstruction_networks(wildcards):
    """Named inputs: the cards of the networks that judge reconstructions."""
    networks = stages.reconstruction_networks(STUDY)
    return {role: PATHS.model_card(name) for role, name in networks.items()}


def reconstruction_options(wildcards, input):
    """The tokenizer and the networks that judge it, each by its folder."""
    roles = ["tokenizer", *stages.reconstruction_networks(STUDY)]
    return " ".join(f"--{role} {quote(str(Path(input[role]).parent))}" for role in roles)
