# Tables, figures and sample grids. Commands here start without torch; each artefact is one target.
include: "inputs/report.smk"


rule published_tables:
    output:
        [
            f"{ROOT}/tables/published/{name}{kind}"
            for name in PUBLISHED_TABLES
            for kind in (".csv", ".html", ".md", ".tex")
        ],
    log:
        f"{ROOT}/logs/table/published.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        names=" ".join(PUBLISHED_TABLES),
    shell:
        "python -m nanogen table {params.names} --published"
        f" --output-prefix {ROOT}/tables/published > {{log}} 2> >(tee -i {{log}} >&2)"


rule measured_table:
    input:
        get_table_inputs,
    output:
        multiext(f"{ROOT}/tables/{{table}}", ".csv", ".html", ".md", ".tex"),
    log:
        f"{ROOT}/logs/table/{{table}}.log",
    wildcard_constraints:
        table="|".join(name for name in OWN_TABLES if name not in CORRELATIONS),
    priority: 5
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        study=study_file(),
    shell:
        "python -m nanogen table {wildcards.table} --study {params.study} --input {input:q}"
        f" --output-prefix {ROOT}/tables/{{wildcards.table}} > {{log}} 2> >(tee -i {{log}} >&2)"


if "correlations" in OWN_TABLES:

    rule correlation_tables:
        input:
            TABLES["correlations"].inputs(STUDY),
        output:
            [PATHS.table(name, kind) for name in CORRELATIONS for kind in ("csv", "html", "md", "tex")],
        log:
            f"{ROOT}/logs/table/correlations.log",
        localrule: True
        conda:
            "../envs/report.yaml"
        params:
            names=" ".join(CORRELATIONS),
            study=study_file(),
        shell:
            "python -m nanogen table {params.names} --study {params.study} --input {input:q}"
            f" --output-prefix {ROOT}/tables > {{log}} 2> >(tee -i {{log}} >&2)"


rule published_figure:
    output:
        multiext(f"{ROOT}/figures/published/{{figure}}", ".pdf", ".png", ".svg"),
    log:
        f"{ROOT}/logs/figure/published-{{figure}}.log",
    wildcard_constraints:
        figure="|".join(PUBLISHED_FIGURES),
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        style=style_option,
    shell:
        "python -m nanogen figure {wildcards.figure} --published {params.style}"
        f" --output-prefix {ROOT}/figures/published/{{wildcards.figure}} > {{log}} 2> >(tee -i {{log}} >&2)"


rule measured_figure:
    input:
        get_figure_inputs,
    output:
        multiext(f"{ROOT}/figures/{{figure}}", ".pdf", ".png", ".svg"),
    log:
        f"{ROOT}/logs/figure/{{figure}}.log",
    wildcard_constraints:
        figure="|".join(OWN_FIGURES),
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        study=study_file(),
        style=style_option,
    shell:
        "python -m nanogen figure {wildcards.figure} --study {params.study} --input {input:q}"
        " {params.style}"
        f" --output-prefix {ROOT}/figures/{{wildcards.figure}} > {{log}} 2> >(tee -i {{log}} >&2)"


rule sample_grid:
    input:
        unpack(grid_source),
        samples=f"{ROOT}/runs/{{task}}/{{method}}/{{variant}}/samples.h5",
    output:
        f"{ROOT}/figures/samples/{{task}}-{{method}}-{{variant}}.png",
    log:
        f"{ROOT}/logs/grid/{{task}}-{{method}}-{{variant}}.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        options=as_options,
        rows=STUDY.report.grid_rows,
        columns=STUDY.report.grid_columns,
        title=lambda wildcards: f"{sampled_run(wildcards).title}, {wildcards.task}",
    shell:
        "python -m nanogen grid {params.options} --rows {params.rows} --columns {params.columns}"
        " --title {params.title:q} --output {output} > {log} 2> >(tee -i {log} >&2)"


rule lengths_figure:
    input:
        prompts=PATHS.prompts,
        samples=list(LENGTHS.values()),
    output:
        PATHS.figure("figure3", "png"),
    log:
        f"{ROOT}/logs/lengths_figure.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        rows=" ".join(f"--row {quote(f'{heading}={path}')}" for heading, path in LENGTHS.items()),
    shell:
        "python -m nanogen grid {params.rows} --prompts {input.prompts:q}"
        " --title 'The same prompts after parts of the training' --output {output}"
        " > {log} 2> >(tee -i {log} >&2)"


rule explorer_page:
    input:
        tables=get_explored_tables,
        metrics=get_explored_metrics,
        samples=get_explored_samples,
    output:
        f"{ROOT}/explorer.html",
    log:
        f"{ROOT}/logs/explorer.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        study=study_file(),
        files=lambda wildcards, input: " ".join(
            ["--input", *input.tables, *input.metrics] if EXPLORED else []
        ),
    shell:
        "python -m nanogen explorer --source {params.study} {params.files}"
        " --output {output} > {log} 2> >(tee -i {log} >&2)"


rule report_page:
    input:
        parts=get_report_files,
        linked=explorer(),
    output:
        report_page(),
    log:
        f"{ROOT}/logs/report.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        study=study_file(),
    shell:
        "python -m nanogen report --study {params.study} --input {input.parts:q} --output {output}"
        " > {log} 2> >(tee -i {log} >&2)"


rule submit:
    input:
        get_entry_metrics,
    output:
        list(OWN_ENTRIES.values()) or f"{ROOT}/leaderboard/none.json",
    log:
        f"{ROOT}/logs/submit.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        study=study_file(),
    shell:
        "python -m nanogen submit --study {params.study}"
        f" --output {ROOT}/leaderboard > {{log}} 2> >(tee -i {{log}} >&2)"


rule leaderboard_table:
    input:
        get_entries,
    output:
        multiext(f"{ROOT}/tables/leaderboard", ".csv", ".html", ".md", ".tex"),
    log:
        f"{ROOT}/logs/table/leaderboard.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        published="--published" if STUDY.leaderboard.published else "",
    shell:
        "python -m nanogen leaderboard --entries {input:q} {params.published}"
        f" --output-prefix {ROOT}/tables/leaderboard > {{log}} 2> >(tee -i {{log}} >&2)"


rule numbers:
    input:
        get_number_tables,
    output:
        f"{ROOT}/numbers.tex",
    log:
        f"{ROOT}/logs/numbers.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        study=study_file(),
    shell:
        "python -m nanogen numbers --study {params.study} --input {input:q} --output {output}"
        " > {log} 2> >(tee -i {log} >&2)"


rule archive:
    input:
        get_bundle_files,
    output:
        f"{ROOT}/bundle.zip",
    log:
        f"{ROOT}/logs/bundle.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        study=study_file(),
    shell:
        "python -m nanogen bundle --study {params.study} --input {input:q} --output {output}"
        " > {log} 2> >(tee -i {log} >&2)"
