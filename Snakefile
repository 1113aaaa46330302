# DiffusionBench as one graph. This file lists the targets; rules/ contains the steps that build them.
#
#   snakemake all                         every table and figure of the study in config/config.yaml
#   snakemake table2                      one table; likewise table1, table3, table4
#   snakemake figure1                     one figure; likewise figure2 to figure5
#   snakemake overview                    samples of every method, for the same classes and prompts
#   snakemake correlations                coefficients, intervals, p-values; tables and a figure
#   snakemake regimes                     whether both tasks are trained alike, from the training curves
#   snakemake claims                      which of the paper's claims hold
#   snakemake tokenizers                  how well the tokenizers reconstruct images: table and figure
#   snakemake leaderboard                 both axes: this study's methods and submitted entries
#   snakemake bundle                      tables, figures and numbers to quote in one archive
#   snakemake report                      one page with all tables and figures
#   snakemake explorer                    one page to explore the tables in a browser
#   snakemake sweep                       the best guidance scales, for a study with the key sweep
#   snakemake seeds                       how much trainings differ, for a study with seeds above 1
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


# Snakemake keeps only the last definition of each of these handlers.
onstart:
    check_cluster()
    cache_choice.note(STUDY)
    # The fork server imports the libraries once; each job then starts as a fork of it.
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
    """How much the scores of one method differ between trainings."""
    input:
        get_seeds_table,


rule leaderboard:
    """Both axes in one table: the study's methods, submitted entries, the paper's methods."""
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
    """How well and how fast each tokenizer reconstructs images, with examples."""
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
    """Figure 1 with the pixel-space methods added, without and with guidance."""
    input:
        figures("figure4"),


rule figure5:
    """Figure 1 with FID without guidance."""
    input:
        figures("figure5"),


rule overview:
    """Samples of every method, for the same classes and the same prompts."""
    input:
        figures("overview"),


rule correlations:
    """Do ImageNet scores predict text-to-image scores?"""
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
