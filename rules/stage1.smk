# Stage 1: tokenizers trained from scratch by torchrun, autoencoders and the decoders of representation
# autoencoders; and every tokenizer measured, whoever trained it.


def tokenizer_inputs(wildcards):
    """Named inputs of a tokenizer's training: images, and the cards of the frozen networks that it is
    made with, as encoder, perceptual distance or discriminator."""
    model = MODELS[wildcards.model]
    networks = dict.fromkeys(tokenizer_networks.networks_of(model).values())
    return {
        "train": PATHS.data(model.data, "train"),
        "val": PATHS.data(model.data, "val"),
        **{f"network:{name}": PATHS.model_card(name) for name in networks},
    }


def tokenizers_built(tuned):
    """A wildcard pattern for the tokenizers that are trained here, from scratch or from another."""
    built = [m for m in MODELS.values() if m.source == "build" and m.kind in ("vae", "rae")]
    return "|".join(re.escape(m.name) for m in built if bool(m.end_to_end) == tuned) or "(?!)"


def tokenizer_state(wildcards):
    """Where a tokenizer's training saves and resumes: outside the outputs."""
    return f"{ROOT}/state/{stages.model(STUDY, wildcards.model)['hash']}"


def reconstruction_networks(wildcards):
    """Named inputs: the cards of the networks that judge reconstructions."""
    networks = stages.reconstruction_networks(STUDY)
    return {role: PATHS.model_card(name) for role, name in networks.items()}


def reconstruction_options(wildcards, input):
    """The tokenizer and the networks that judge it, each by its folder."""
    roles = ["tokenizer", *stages.reconstruction_networks(STUDY)]
    return " ".join(f"--{role} {quote(str(Path(input[role]).parent))}" for role in roles)


rule train_tokenizer:
    input:
        unpack(tokenizer_inputs),
    output:
        card=f"{ROOT}/models/{{model}}/nanogen.json",
        curve=f"{ROOT}/models/{{model}}/train.jsonl",
    log:
        f"{ROOT}/logs/train_tokenizer/{{model}}.log",
    wildcard_constraints:
        model=tokenizers_built(tuned=False),
    priority: 40
    conda:
        "../envs/train.yaml"
    resources:
        nodes=1,
        processes=1,
        gres="",
        mpi="",
        checkpoint_every=lambda wildcards: MODELS[wildcards.model].stage1.checkpoint_every,
        log_every=lambda wildcards: MODELS[wildcards.model].stage1.log_every,
    params:
        config=configured(stages.model, "model"),
        state=tokenizer_state,
        inputs=as_options,
        command="train-tokenizer",
    shell:
        "python -m nanogen launch --mpi '{resources.mpi}' --nodes {resources.nodes}"
        " --gres '{resources.gres}' --processes {resources.processes} --"
        " {params.command} --config {params.config} {params.inputs} --state {params.state}"
        " --output $(dirname {output.card}) --checkpoint-every {resources.checkpoint_every}"
        " --log-every {resources.log_every} 2> >(tee -i {log} >&2)"


# A VAE tuned end to end with a backbone, from another VAE (REPA-E).
use rule train_tokenizer as tune_tokenizer with:
    log:
        f"{ROOT}/logs/tune_tokenizer/{{model}}.log",
    wildcard_constraints:
        model=tokenizers_built(tuned=True),
    params:
        config=configured(stages.model, "model"),
        state=tokenizer_state,
        inputs=as_options,
        command="tune-tokenizer",


rule reconstruct:
    input:
        unpack(reconstruction_networks),
        val=PATHS.data(stages.reconstructed_task(STUDY), "val"),
        tokenizer=lambda wildcards: PATHS.model_card(wildcards.tokenizer),
    output:
        scores=f"{ROOT}/tokenizers/{{tokenizer}}/reconstruction.json",
        examples=f"{ROOT}/tokenizers/{{tokenizer}}/reconstructions.h5",
    log:
        f"{ROOT}/logs/reconstruct/{{tokenizer}}.log",
    priority: 10
    conda:
        "../envs/metrics.yaml"
    resources:
        nodes=1,
        processes=1,
        gres="",
        mpi="",
    params:
        config=configured(stages.reconstruction, "tokenizer"),
        networks=reconstruction_options,
    shell:
        "python -m nanogen launch --mpi '{resources.mpi}' --nodes {resources.nodes}"
        " --gres '{resources.gres}' --processes {resources.processes} --"
        " reconstruct --config {params.config} --val {input.val:q} {params.networks}"
        " --output $(dirname {output.scores}) 2> >(tee -i {log} >&2)"
