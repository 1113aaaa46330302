# Stage 1: train tokenizers with torchrun (autoencoders, and the decoders of representation
# autoencoders), and measure every tokenizer, trained here or not.
include: "inputs/stage1.smk"


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


# A VAE that starts from another VAE and is tuned end to end with a backbone (REPA-E).
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
