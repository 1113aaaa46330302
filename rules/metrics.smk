# Metrics: features once per sample set, then small JSON files.


rule reference:
    input:
        extractors=extractor_cards,
        train=PATHS.data("imagenet", "train"),
        val=PATHS.data("imagenet", "val"),
    output:
        PATHS.reference,
    log:
        f"{ROOT}/logs/reference.log",
    conda:
        "../envs/metrics.yaml"
    params:
        config=configured(stages.reference),
        extractors=extractor_options,
    shell:
        "python -m nanogen reference --config {params.config} --train {input.train:q} --val {input.val:q}"
        " {params.extractors} --output {output} 2> >(tee -i {log} >&2)"


rule extract_features:
    input:
        extractors=extractor_cards,
        samples=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/samples.h5",
    output:
        f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/features.h5",
    log:
        f"{ROOT}/logs/extract_features/{{method}}-{{variant}}.log",
    benchmark:
        f"{ROOT}/benchmarks/extract_features/{{method}}-{{variant}}.tsv"
    conda:
        "../envs/metrics.yaml"
    resources:
        nodes=1,
        processes=1,
        gres="",
        mpi="",
    params:
        config=configured(stages.features, "method", "variant"),
        extractors=extractor_options,
    shell:
        "python -m nanogen launch --mpi '{resources.mpi}' --nodes {resources.nodes}"
        " --gres '{resources.gres}' --processes {resources.processes} --"
        " extract-features --config {params.config} --samples {input.samples:q}"
        " {params.extractors} --output {output} 2> >(tee -i {log} >&2)"


rule score_distribution:
    input:
        features=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/features.h5",
        reference=PATHS.reference,
    output:
        fid=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/metrics/fid.json",
        inception_score=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/metrics/is.json",
        fdr=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/metrics/fdr.json",
        mind=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/metrics/mind.json",
        precision_recall=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/metrics/pr.json",
        sfid=f"{ROOT}/runs/imagenet/{{method}}/{{variant}}/metrics/sfid.json",
    log:
        f"{ROOT}/logs/score_distribution/{{method}}-{{variant}}.log",
    conda:
        "../envs/metrics.yaml"
    params:
        config=configured(stages.distribution, "method", "variant"),
    shell:
        "python -m nanogen score-distribution --config {params.config} --features {input.features:q}"
        " --reference {input.reference:q} --output $(dirname {output.fid}) 2> >(tee -i {log} >&2)"


if "t2i" in STUDY.tasks:

    rule score_geneval:
        input:
            samples=f"{ROOT}/runs/t2i/{{method}}/{{variant}}/samples.h5",
            prompts=PATHS.prompts,
            detector=PATHS.model_card(RUNS[FIRST, "t2i"].evaluation.detector),
            colors=color_classifier,
        output:
            f"{ROOT}/runs/t2i/{{method}}/{{variant}}/metrics/geneval.json",
        log:
            f"{ROOT}/logs/score_geneval/{{method}}-{{variant}}.log",
        conda:
            "../envs/metrics.yaml"
        params:
            config=configured(stages.geneval, "method", "variant"),
            detector=lambda wildcards, input: Path(input.detector).parent,
            colors=color_classifier_option,
        shell:
            "python -m nanogen score-geneval --config {params.config} --samples {input.samples:q}"
            " --prompts {input.prompts:q} --detector {params.detector:q} {params.colors}"
            " --output {output} 2> >(tee -i {log} >&2)"

    if ANSWERED_HERE:

        # One job for both metrics, since they mostly share a network.
        rule score_questions:
            input:
                unpack(answering_inputs),
                samples=f"{ROOT}/runs/t2i/{{method}}/{{variant}}/samples.h5",
                prompts=PATHS.prompts,
            output:
                [f"{ROOT}/runs/t2i/{{method}}/{{variant}}/metrics/{name}.json" for name in ANSWERED_HERE],
            log:
                f"{ROOT}/logs/score_questions/{{method}}-{{variant}}.log",
            benchmark:
                f"{ROOT}/benchmarks/score_questions/{{method}}-{{variant}}.tsv"
            conda:
                "../envs/metrics.yaml"
            params:
                config=configured(stages.question_scores, "method", "variant"),
                inputs=as_options,
                folder=lambda wildcards, output: Path(output[0]).parent,
            shell:
                "python -m nanogen score-questions --config {params.config} {params.inputs}"
                " --output {params.folder:q} 2> >(tee -i {log} >&2)"

    # Models that only a package runs, which needs an environment of its own.
    if "dpg" in PACKAGED:

        rule score_mplug:
            input:
                samples=f"{ROOT}/runs/t2i/{{method}}/{{variant}}/samples.h5",
                prompts=PATHS.prompts,
                questions=PATHS.questions,
            output:
                f"{ROOT}/runs/t2i/{{method}}/{{variant}}/metrics/dpg.json",
            log:
                f"{ROOT}/logs/score_mplug/{{method}}-{{variant}}.log",
            conda:
                "../envs/dpg.yaml"
            params:
                config=configured(stages.question_scores, "method", "variant"),
                inputs=as_options,
            shell:
                "python -m nanogen score-mplug --config {params.config} {params.inputs}"
                " --output $(dirname {output}) 2> >(tee -i {log} >&2)"

    if "genai" in PACKAGED:

        rule score_clip_flant5:
            input:
                samples=f"{ROOT}/runs/t2i/{{method}}/{{variant}}/samples.h5",
                prompts=PATHS.prompts,
            output:
                f"{ROOT}/runs/t2i/{{method}}/{{variant}}/metrics/genai.json",
            log:
                f"{ROOT}/logs/score_clip_flant5/{{method}}-{{variant}}.log",
            conda:
                "../envs/vqascore.yaml"
            params:
                config=configured(stages.question_scores, "method", "variant"),
                inputs=as_options,
            shell:
                "python -m nanogen score-clip-flant5 --config {params.config} {params.inputs}"
                " --output $(dirname {output}) 2> >(tee -i {log} >&2)"


if SIMPLE:

    rule score_simpleeval:
        input:
            samples=f"{ROOT}/runs/t2i/{{method}}/{{variant}}/samples.h5",
            prompts=PATHS.prompts,
            scorer=PATHS.model_card(SIMPLE.scorer),
        output:
            f"{ROOT}/runs/t2i/{{method}}/{{variant}}/metrics/simpleeval.json",
        log:
            f"{ROOT}/logs/score_simpleeval/{{method}}-{{variant}}.log",
        conda:
            "../envs/metrics.yaml"
        params:
            config=configured(stages.simpleeval, "method", "variant"),
            scorer=lambda wildcards, input: Path(input.scorer).parent,
        shell:
            "python -m nanogen score-simpleeval --config {params.config} --samples {input.samples:q}"
            " --prompts {input.prompts:q} --scorer {params.scorer:q} --output {output} 2> >(tee -i {log} >&2)"
