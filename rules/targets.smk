# Suggest the nearest target for a misspelt one. Snakemake looks targets up after it has read all rules,
# and reports only that no rule makes an unknown one; so they are read from the command line here.
from snakemake.cli import get_argument_parser

from nanogen.errors import did_you_mean, nearest

ALIKE = 0.8  # similarity of paths, which share most of their folders


def is_target(target):
    """Whether a rule has this name or makes this file."""
    path = os.path.relpath(target)
    return workflow.is_rule(target) or any(rule.is_producer(path) for rule in workflow.rules)


def named_files():
    """Files that users request by name: tables, figures, pages, trained networks and metrics."""
    made = [
        *get_bundle_files(None),
        *explorer(),
        *report_page(),
        *trained(),
        *get_metric_files(*EXPLORED),
    ]
    return [str(path) for path in made]


def hint(target):
    """Suggest what may have been meant: a file of another study or of this one, or a named target."""
    path = Path(os.path.relpath(target))
    if path.is_relative_to(Path(ROOT).parent) and not path.is_relative_to(ROOT):
        return f"; files in {Path(*path.parts[:2])} are another study's, see --config study=NAME"
    named = [rule.name for rule in workflow.rules if not rule.output]
    return did_you_mean(target, named_files(), ALIKE) or nearest(target, named)


if workflow.is_main_process and "snakemake" in Path(sys.argv[0]).parts[-2:]:
    for target in get_argument_parser().parse_args(sys.argv[1:]).targets:
        if not is_target(target):
            raise Mistake(f"study {STUDY.study} has no target {target!r}{hint(target)}")
