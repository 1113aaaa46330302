# Stage 2: the backbone, trained by torchrun from caches; the same rule for every method and task.
include: "inputs/stage2.smk"


rule fetch_checkpoint:
    """A model that the authors trained and published, instead of a training."""
    output:
        card=f"{ROOT}/released/{{task}}/{{method}}/model{{weights}}/nanogen.json",
        weights=f"{ROOT}/released/{{task}}/{{method}}/model{{weights}}/model.safetensors",
    log:
        f"{ROOT}/logs/fetch_checkpoint/{{task}}-{{method}}{{weights}}.log",
    retries: 2
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        config=configured(stages.trained_model, "method", "task", "weights"),
    shell:
        "python -m nanogen fetch-checkpoint --config {params.config} --output $(dirname {output.card})"
        " 2> >(tee -i {log} >&2)"


rule train:
    input:
        unpack(training_inputs),
    output:
        **(
            {"kept": f"{ROOT}/runs/{{task}}/{{method}}/model{{weights}}/kept.safetensors"}
            if KEEPS
            else {}
        ),
        card=f"{ROOT}/runs/{{task}}/{{method}}/model{{weights}}/nanogen.json",
        weights=f"{ROOT}/runs/{{task}}/{{method}}/model{{weights}}/model.safetensors",
        config=f"{ROOT}/runs/{{task}}/{{method}}/model{{weights}}/config.json",
        curve=f"{ROOT}/runs/{{task}}/{{method}}/model{{weights}}/train.jsonl",
    log:
        f"{ROOT}/logs/train/{{task}}-{{method}}{{weights}}.log",
    priority: 20
    conda:
        "../envs/train.yaml"
    resources:
        nodes=1,
        processes=1,
        gres="",
        mpi="",
        checkpoint_every=lambda wildcards: RUNS[
            wildcards.method, wildcards.task
        ].training.checkpoint_every,
        log_every=lambda wildcards: RUNS[wildcards.method, wildcards.task].training.log_every,
        sharding=lambda wildcards: RUNS[wildcards.method, wildcards.task].training.sharding,
        micro_batch=lambda wildcards: RUNS[wildcards.method, wildcards.task].training.micro_batch,
        trackers=tracking_options,
    params:
        config=configured(stages.train, "method", "task", "weights"),
        state=state_folder,
        inputs=training_options,
    shell:
        "python -m nanogen launch --mpi '{resources.mpi}' --nodes {resources.nodes}"
        " --gres '{resources.gres}' --processes {resources.processes} --"
        " train --config {params.config} {params.inputs} --state {params.state}"
        " --output $(dirname {output.card}) --checkpoint-every {resources.checkpoint_every}"
        " --log-every {resources.log_every} --sharding {resources.sharding}"
        " --micro-batch {resources.micro_batch} {resources.trackers} 2> >(tee -i {log} >&2)"
