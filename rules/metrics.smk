# Metrics: small JSON files for each sample set.
include: "inputs/metrics.smk"


rule reference:
    input:
        unpack(reference_images),
        extractors=extractor_cards,
    output:
        PATHS.reference,
    log:
        f"{ROOT}/logs/reference.log",
    priority: 25
    conda:
        "../envs/metrics.yaml"
    params:
        config=configured(stages.reference),
        extractors=extractor_options,
        images=reference_options,
    shell:
        "python -m nanogen reference --config {params.config} {params.images} {params.extractors}"
        " --output {output} 2> >(tee -i {log} >&2)"


rule score_images:
    input:
        unpack(scoring_inputs("imagenet")),
        samples=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/samples.h5",
        reference=PATHS.reference,
    output:
        [f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/metrics/{name}.json" for name in DISTRIBUTION],
    log:
        f"{ROOT}/logs/score_images/{{method}}-{{variant}}.log",
    priority: 10
    conda:
        "../envs/metrics.yaml"
    resources:
        nodes=1,
        processes=1,
        gres="",
        mpi="",
    params:
        config=configured(measuring("imagenet"), "method", "variant"),
        inputs=as_options,
        features=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/features.h5",
        metrics=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/metrics",
    shell:
        "python -m nanogen launch --mpi '{resources.mpi}' --nodes {resources.nodes}"
        " --gres '{resources.gres}' --processes {resources.processes} --"
        " score-samples --config {params.config} {params.inputs} --features {params.features}"
        " --output {params.metrics} 2> >(tee -i {log} >&2)"


if CAPTIONS:

    rule caption_reference:
        input:
            unpack(caption_inputs),
        output:
            PATHS.captions("{captions}"),
        log:
            f"{ROOT}/logs/caption_reference/{{captions}}.log",
        priority: 20
        conda:
            "../envs/metrics.yaml"
        params:
            config=configured(stages.caption_reference, "captions"),
            inputs=as_options,
            downloads=f"{ROOT}/downloads/captions/{{captions}}",
        shell:
            "python -m nanogen caption-reference --config {params.config} {params.inputs}"
            " --downloads {params.downloads} --output {output} 2> >(tee -i {log} >&2)"


if "t2i" in STUDY.tasks:

    # One process for all metrics: it takes longer to start than to measure, and some share a network.
    rule score_text:
        input:
            unpack(scoring_inputs("t2i")),
            samples=f"{ROOT}/runs/t2i/{{method}}/{{variant}}/samples.h5",
            prompts=PATHS.prompts,
        output:
            [f"{ROOT}/runs/t2i/{{method}}/{{variant}}/metrics/{name}.json" for name in TEXT_TO_IMAGE],
        log:
            f"{ROOT}/logs/score_text/{{method}}-{{variant}}.log",
        priority: 10
        conda:
            "../envs/metrics.yaml"
        params:
            config=configured(measuring("t2i"), "method", "variant"),
            inputs=as_options,
            metrics=f"{ROOT}/runs/t2i/{{method}}/{{variant}}/metrics",
        shell:
            "python -m nanogen score-samples --config {params.config} {params.inputs}"
            " --output {params.metrics} 2> >(tee -i {log} >&2)"
