# Frozen networks: encoders, text encoder, the metrics' extractors, detector and VQA model.
# A model whose source is `path` has no rule here: the user provides its folder.
include: "inputs/pretrained.smk"


rule build_model:
    input:
        train=training_images("train"),
        val=training_images("val"),
    output:
        f"{ROOT}/models/{{model}}/nanogen.json",
    log:
        f"{ROOT}/logs/build_model/{{model}}.log",
    wildcard_constraints:
        model=names_of("build", "encoder", "text_encoder", "extractor", "detector", "vqa", "weak_scorer"),
    priority: 30
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.model, "model"),
    shell:
        "python -m nanogen build-model --config {params.config} --train {input.train:q}"
        " --val {input.val:q} --output $(dirname {output}) 2> >(tee -i {log} >&2)"


rule fetch_model:
    output:
        f"{ROOT}/models/{{model}}/nanogen.json",
    log:
        f"{ROOT}/logs/fetch_model/{{model}}.log",
    wildcard_constraints:
        model=names_of(
            "download",
            "encoder",
            "text_encoder",
            "extractor",
            "detector",
            "color_classifier",
            "vqa",
            "weak_scorer",
            "perceptual",
            "vae",
            "rae",
            "pipeline",
        ),
    retries: 2
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.model, "model"),
    shell:
        "python -m nanogen fetch-model --config {params.config} --output $(dirname {output}) 2> >(tee -i {log} >&2)"


rule random_model:
    """Random weights in a network of the real class, for a rehearsal."""
    output:
        f"{ROOT}/models/{{model}}/nanogen.json",
    log:
        f"{ROOT}/logs/random_model/{{model}}.log",
    wildcard_constraints:
        model=names_of(
            "random",
            "encoder",
            "text_encoder",
            "extractor",
            "detector",
            "color_classifier",
            "vqa",
            "weak_scorer",
            "perceptual",
            "vae",
        ),
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.model, "model"),
    shell:
        "python -m nanogen random-model --config {params.config} --output $(dirname {output}) 2> >(tee -i {log} >&2)"
