# DiffusionBench as one graph. This file lists what can be asked for; rules/ says how it is made.
#
#   snakemake all                         every table and figure of the study in config/config.yaml
#   snakemake table2                      one table; likewise table1, table3, table4
#   snakemake figure1                     one figure; likewise figure2 to figure5
#   snakemake overview                    samples of every method, for the same classes and prompts
#   snakemake correlations                coefficients, intervals, p-values; tables and a figure
#   snakemake regimes                     are both tasks trained alike? from the training curves
#   snakemake claims                      which of the paper's claims hold
#   snakemake tokenizers                  what the tokenizers give back: their table and figure
#   snakemake leaderboard                 both axes, of this study and of entries handed in
#   snakemake bundle                      tables, figures and the text's numbers in one archive
#   snakemake report                      one page with all tables and figures
#   snakemake explorer                    one page to explore the tables in a browser
#   snakemake sweep                       the best guidance scales, of a study with the key sweep
#   snakemake seeds                       how far trainings differ, of a study with seeds above 1
#   snakemake docs                        the documentation as a site, build/docs/index.html
#   snakemake all --config study=smoke    another study
#   snakemake -n all                      what would be run
from snakemake.utils import min_version

min_version("9.0")


configfile: f"{workflow.basedir}/config/config.yaml"


include: "rules/common.smk"
include: "rules/site.smk"
include: "rules/devices.smk"
include: "rules/data.smk"
include: "rules/pretrained.smk"
include: "rules/stage1.smk"
include: "rules/latents.smk"
include: "rules/stage2.smk"
include: "rules/sampling.smk"
include: "rules/metrics.smk"
include: "rules/report.smk"
include: "rules/docs.smk"


# Snakemake keeps one of each of these handlers, the last that it reads.
onstart:
    check_cluster()
    cache_choice.note(STUDY)
    # Imported once for all jobs, which then start as its forks.
    if (
        workflow.local_exec
        and not ON_DEVICES
        and sum(1 for _ in workflow.dag.needrun_jobs()) >= FORKED_JOBS
    ):
        start_fork_server(PYTHON_PATH)


onsuccess:
    cancel_timers()


onerror:
    cancel_timers()


rule all:
    """Every table and figure of the study, its grids of images, its report and its explorer."""
    default_target: True
    input:
        tables(*TABLES),
        figures(*FIGURES),
        grids(),
        lengths(),
        leaderboard(),
        explorer(),
        report_page(),


rule sweep:
    """Each method's best guidance scale on ImageNet."""
    input:
        get_sweep_outputs,


rule seeds:
    """How far the scores of one method differ from training to training."""
    input:
        get_seeds_table,


rule leaderboard:
    """Both axes in one table: the study's methods, those handed in, the paper's."""
    input:
        get_leaderboard,


rule bundle:
    """All tables, figures and numbers in one archive."""
    input:
        f"{ROOT}/bundle.zip",


rule report:
    """One page with all tables and figures, the main ones first."""
    input:
        report_page(),


rule explorer:
    """A page to explore both axes in a browser."""
    input:
        explorer(),


rule docs:
    """The documentation as a site that opens from disk, build/docs/index.html."""
    input:
        SITE,


rule tokenizers:
    """How well and how fast each tokenizer gives images back, and pictures of it."""
    input:
        tables("tokenizers"),
        figures("tokenizers"),


rule models:
    """Every trained backbone of the study."""
    input:
        trained(),


rule caches:
    """Every latent and text cache of the study."""
    input:
        all_caches(),


rule table1:
    """Known methods as reported and as reproduced, each at its own size and length."""
    input:
        tables("table1"),


rule table2:
    """The ImageNet axis with guidance."""
    input:
        tables("table2"),


rule table3:
    """The text-to-image axis."""
    input:
        tables("table3"),


rule table4:
    """The ImageNet axis without guidance."""
    input:
        tables("table4"),


rule figure1:
    """FID with guidance against each text-to-image score."""
    input:
        figures("figure1"),


rule figure2:
    """The wall-clock time of 100,000 training steps per method."""
    input:
        tables("times"),
        figures("figure2"),


rule figure3:
    """The same prompts after half of the training and after all of it."""
    input:
        get_lengths_figure,


rule figure4:
    """As Figure 1, with the methods of pixel space, without and with guidance."""
    input:
        figures("figure4"),


rule figure5:
    """As Figure 1, FID without guidance."""
    input:
        figures("figure5"),


rule overview:
    """Samples of every method, for the same classes and the same prompts."""
    input:
        figures("overview"),


rule correlations:
    """Do ImageNet's numbers tell text-to-image scores?"""
    input:
        tables(*CORRELATIONS),
        figures("correlations"),


rule claims:
    """Which of the paper's claims hold."""
    input:
        tables("claims"),


rule regimes:
    """Are both tasks trained alike?"""
    input:
        tables("regimes"),
        figures("regimes"),


include: "rules/targets.smk"
