# Sample sets: with guidance (cfg), without (nocfg), and from the initial weights (untrained). A public
# model has only cfg, with the default settings of its pipeline. A guidance sweep adds small sets,
# sweep-SCALE, and a full set, best, at the scale that these choose.
include: "inputs/sampling.smk"


rule sample:
    input:
        unpack(sampling_inputs),
    output:
        f"{ROOT}/runs/{{task}}/{{method}}/{{variant}}/samples.h5",
    log:
        f"{ROOT}/logs/sample/{{task}}-{{method}}-{{variant}}.log",
    priority: 15
    conda:
        "../envs/train.yaml"
    resources:
        nodes=1,
        processes=1,
        gres="",
        mpi="",
        batch_size=lambda wildcards: sampled_run(wildcards).sampling.batch_size,
    params:
        config=configured(stages.sample, "method", "task", "variant"),
        inputs=sampling_options,
    shell:
        "python -m nanogen launch --mpi '{resources.mpi}' --nodes {resources.nodes}"
        " --gres '{resources.gres}' --processes {resources.processes} --"
        " sample --config {params.config} {params.inputs} --output {output}"
        " --batch-size {resources.batch_size} 2> >(tee -i {log} >&2)"


rule choose_guidance:
    input:
        swept_fids,
    output:
        f"{ROOT}/runs/imagenet/{{method}}/guidance.json",
    log:
        f"{ROOT}/logs/choose_guidance/{{method}}.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        config=configured(stages.guidance, "method"),
    shell:
        "python -m nanogen choose-guidance --config {params.config} --metric {input:q} --output {output}"
        " 2> >(tee -i {log} >&2)"
