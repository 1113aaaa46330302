# Priorities put the heads of long chains first, so that the last training does not run alone.
# Stage 1: tokenizers trained from scratch, VAEs and the decoders of representation autoencoders.


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
