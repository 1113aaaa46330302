# Caches: latents per (data set, tokenizer), text features per (captions, text encoder) and, if a loss
# term reads them, a vision encoder's features per (data set, encoder). A cache given by path (`latents:`
# in the study) has no rule: training reads it in place.
include: "inputs/latents.smk"


rule encode_latents:
    input:
        data=lambda wildcards: PATHS.data(wildcards.task, "train"),
        tokenizer=lambda wildcards: PATHS.model_card(wildcards.tokenizer),
    output:
        f"{ROOT}/latents/{{task}}/{CACHE}.h5",
    log:
        f"{ROOT}/logs/encode_latents/{{task}}-{CACHE}.log",
    priority: 35
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.latents, "task", "tokenizer"),
        tokenizer=lambda wildcards, input: Path(input.tokenizer).parent,
        shard=lambda wildcards: f" --shard {wildcards.scatteritem}" if SHARDED else "",
    shell:
        "python -m nanogen encode-latents --config {params.config} --data {input.data:q}"
        " --tokenizer {params.tokenizer:q}{params.shard} --output {output} 2> >(tee -i {log} >&2)"


if SHARDED:

    rule join_latents:
        input:
            gather.latents(f"{ROOT}/latents/{{{{task}}}}/{{{{tokenizer}}}}/{{scatteritem}}.h5"),
        output:
            f"{ROOT}/latents/{{task}}/{{tokenizer}}.h5",
        log:
            f"{ROOT}/logs/join_latents/{{task}}-{{tokenizer}}.log",
        priority: 35
        localrule: True
        conda:
            "../envs/train.yaml"
        params:
            config=configured(stages.latents, "task", "tokenizer"),
        shell:
            "python -m nanogen join-latents --config {params.config} --output {output} {input:q}"
            " 2> >(tee -i {log} >&2)"


rule encode_features:
    input:
        data=lambda wildcards: PATHS.data(wildcards.task, "train"),
        encoder=lambda wildcards: PATHS.model_card(wildcards.model),
    output:
        f"{ROOT}/features/{{task}}/{{model}}/{{part}}.h5",
    log:
        f"{ROOT}/logs/encode_features/{{task}}-{{model}}-{{part}}.log",
    wildcard_constraints:
        part="cls|patches",
    priority: 30
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.vision, "task", "model", "part"),
        encoder=lambda wildcards, input: Path(input.encoder).parent,
    shell:
        "python -m nanogen encode-features --config {params.config} --data {input.data:q}"
        " --encoder {params.encoder:q} --output {output} 2> >(tee -i {log} >&2)"


rule encode_text:
    input:
        data=lambda wildcards: PATHS.data(wildcards.task, "train"),
        encoder=lambda wildcards: PATHS.model_card(wildcards.model),
    output:
        f"{ROOT}/text/{{task}}/{TEXT}.h5",
    log:
        f"{ROOT}/logs/encode_text/{{task}}-{TEXT}.log",
    priority: 25
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.text, "task", "model"),
        encoder=lambda wildcards, input: Path(input.encoder).parent,
        shard=lambda wildcards: f" --shard {wildcards.scatteritem}" if TEXT_SHARDED else "",
    shell:
        "python -m nanogen encode-text --config {params.config} --data {input.data:q}"
        " --encoder {params.encoder:q}{params.shard} --output {output} 2> >(tee -i {log} >&2)"


if TEXT_SHARDED:

    rule join_text:
        input:
            gather.text(f"{ROOT}/text/{{{{task}}}}/{{{{model}}}}/{{scatteritem}}.h5"),
        output:
            f"{ROOT}/text/{{task}}/{{model}}.h5",
        log:
            f"{ROOT}/logs/join_text/{{task}}-{{model}}.log",
        localrule: True
        conda:
            "../envs/train.yaml"
        params:
            config=configured(stages.text, "task", "model"),
        shell:
            "python -m nanogen join-text --config {params.config} --output {output} {input:q}"
            " 2> >(tee -i {log} >&2)"


rule encode_classes:
    input:
        data=PATHS.data("imagenet", "train"),
        encoder=lambda wildcards: PATHS.model_card(wildcards.model),
    output:
        f"{ROOT}/text/{stages.CLASSES}/{{model}}.h5",
    log:
        f"{ROOT}/logs/encode_classes/{{model}}.log",
    priority: 25
    conda:
        "../envs/train.yaml"
    params:
        config=configured(lambda study, model: stages.text(study, stages.CLASSES, model), "model"),
        encoder=lambda wildcards, input: Path(input.encoder).parent,
    shell:
        "python -m nanogen encode-text --config {params.config} --classes {input.data:q}"
        " --encoder {params.encoder:q} --output {output} 2> >(tee -i {log} >&2)"


rule encode_prompts:
    input:
        prompts=PATHS.prompts,
        encoder=lambda wildcards: PATHS.model_card(wildcards.model),
    output:
        f"{ROOT}/text/prompts/{{model}}.h5",
    log:
        f"{ROOT}/logs/encode_prompts/{{model}}.log",
    priority: 25
    conda:
        "../envs/train.yaml"
    params:
        config=configured(lambda study, model: stages.text(study, "prompts", model), "model"),
        encoder=lambda wildcards, input: Path(input.encoder).parent,
    shell:
        "python -m nanogen encode-text --config {params.config} --prompts {input.prompts:q}"
        " --encoder {params.encoder:q} --output {output} 2> >(tee -i {log} >&2)"
