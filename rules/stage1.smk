# Priorities put the heads of long chains first, so that the last training does not run alone.
# Stage 1: tokenizers trained from scratch, VAEs and the decoders of representation autoencoders; and
# every tokenizer measured, whoever trained it.


rule train_tokenizer:
    input:
        train=training_images("train"),
        val=training_images("val"),
        encoder=frozen_encoder,
    output:
        f"{ROOT}/models/{{model}}/nanogen.json",
    log:
        f"{ROOT}/logs/train_tokenizer/{{model}}.log",
    benchmark:
        f"{ROOT}/benchmarks/train_tokenizer/{{model}}.tsv"
    wildcard_constraints:
        model=names_of("build", "vae", "rae"),
    priority: 40
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.model, "model"),
        encoder=lambda wildcards, input: (
            f"--encoder {quote(str(Path(input.encoder[0]).parent))}" if input.encoder else ""
        ),
    shell:
        "python -m nanogen build-model --config {params.config} --train {input.train:q}"
        " --val {input.val:q} {params.encoder} --output $(dirname {output}) 2> >(tee -i {log} >&2)"


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
    benchmark:
        f"{ROOT}/benchmarks/reconstruct/{{tokenizer}}.tsv"
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
