# The documentation's site. It belongs to no study, so it is not in results/; no other rule needs it.
include: "inputs/docs.smk"


rule site:
    input:
        get_doc_sources,
    output:
        directory(SITE),
    log:
        "build/docs.log",
    localrule: True
    conda:
        "../envs/docs.yaml"
    shell:
        "python -m nanogen docs --output {output} > {log} 2> >(tee -i {log} >&2)"
