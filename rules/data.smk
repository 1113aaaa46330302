# Data sets and prompts: drawn, imported from the user's folder, or downloaded and imported.
include: "inputs/data.smk"


rule fetch_data:
    output:
        f"{ROOT}/downloads/{{task}}/{{owner}}/{{repo}}/nanogen.json",
    log:
        f"{ROOT}/logs/fetch_data/{{task}}-{{owner}}-{{repo}}.log",
    retries: 2
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        part=fetched_part,
    shell:
        "python -m nanogen fetch-data --repo {wildcards.owner}/{wildcards.repo} {params.part}"
        " --output $(dirname {output}) 2> >(tee -i {log} >&2)"


rule draw_inputs:
    output:
        f"{ROOT}/inputs/{{task}}/nanogen.json",
    log:
        f"{ROOT}/logs/draw_inputs/{{task}}.log",
    priority: 50
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.inputs, "task"),
    shell:
        "python -m nanogen draw-inputs --config {params.config} --output $(dirname {output}) 2> >(tee -i {log} >&2)"


rule import_share:
    input:
        downloads,
    output:
        f"{ROOT}/data/{{task}}/{{split}}/{{scatteritem}}.json",
    log:
        f"{ROOT}/logs/import_share/{{task}}-{{split}}-{{scatteritem}}.log",
    priority: 50
    conda:
        "../envs/train.yaml"
    threads: import_threads
    params:
        config=configured(stages.data, "task", "split"),
        root=downloaded_root,
        parts=f"{ROOT}/data/{{task}}/.{{split}}.h5.parts",
    shell:
        "python -m nanogen make-data --config {params.config} {params.root} --shard {wildcards.scatteritem}"
        " --parts {params.parts} --output {output} 2> >(tee -i {log} >&2)"


rule make_data:
    input:
        downloads,
        import_shares,
    output:
        f"{ROOT}/data/{{task}}/{{split}}.h5",
    log:
        f"{ROOT}/logs/make_data/{{task}}-{{split}}.log",
    wildcard_constraints:
        task=f"imagenet|t2i|{PRETRAINING}",
    priority: 50
    conda:
        "../envs/train.yaml"
    threads: import_threads
    params:
        config=configured(stages.data, "task", "split"),
        root=downloaded_root,
    shell:
        "python -m nanogen make-data --config {params.config} {params.root} --output {output} 2> >(tee -i {log} >&2)"


rule make_questions:
    input:
        PATHS.prompts,
    output:
        PATHS.questions,
    log:
        f"{ROOT}/logs/make_questions.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.questions),
    shell:
        "python -m nanogen make-questions --config {params.config} --prompts {input:q} --output {output}"
        " 2> >(tee -i {log} >&2)"


rule make_prompts:
    output:
        PATHS.prompts,
    log:
        f"{ROOT}/logs/make_prompts.log",
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.prompts),
    shell:
        "python -m nanogen make-prompts --config {params.config} --output {output} 2> >(tee -i {log} >&2)"
