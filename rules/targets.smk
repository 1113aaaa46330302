# A misspelt target is answered with the nearest one. Snakemake takes the targets when it has read all
# rules, and says of an unknown one only that no rule makes it; so they are read from its command line here.
from snakemake.cli import get_argument_parser

from nanogen.errors import did_you_mean, nearest

ALIKE = 0.8  # of paths, which have most of their folders in common


def is_target(target):
    """Whether a rule has this name or makes this file."""
    path = os.path.relpath(target)
    return workflow.is_rule(target) or any(rule.is_producer(path) for rule in workflow.rules)


def named_files():
    """The files that are asked for by name: tables, figures, pages, networks and what metrics say."""
    made = [
        *get_bundle_files(None),
        *explorer(),
        *report_page(),
        *trained(),
        *get_metric_files(*EXPLORED),
    ]
    return [str(path) for path in made]


def hint(target):
    """What may have been meant: a file of another study, one of this study, a named target."""
    path = Path(os.path.relpath(target))
    if path.is_relative_to(Path(ROOT).parent) and not path.is_relative_to(ROOT):
        return f"; files in {Path(*path.parts[:2])} are another study's, see --config study=NAME"
    named = [rule.name for rule in workflow.rules if not rule.output]
    return did_you_mean(target, named_files(), ALIKE) or nearest(target, named)


if workflow.is_main_process and "snakemake" in Path(sys.argv[0]).parts[-2:]:
    for target in get_argument_parser().parse_args(sys.argv[1:]).targets:
        if not is_target(target):
            raise Mistake(f"study {STUDY.study} has no target {target!r}{hint(target)}")
