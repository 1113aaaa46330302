"""What differs between the two tasks, as a page: the runs themselves are compared."""

from __future__ import annotations

from typing import Any

from nanogen.config.task_difference import task_difference
from nanogen.docs.markdown import code, table

STUDY, METHOD = "paper", "dinov2-b"
EVALUATED = ("sampling.", "evaluation.")
INTRODUCTION = """# The two tasks, compared

A method is trained on both tasks by one program. What the two resolved runs of a method do not share is
listed here, made from `config/tasks/` for `{method}` of the study `{study}`; the paper says that about
12 lines of configuration differ. The same in a terminal, for any method and study:

```
nanogen config --study {study} --method {method} --diff-tasks
```
"""


def page() -> str:
    """The page of the difference, in Markdown."""
    rows = [row for row in task_difference(STUDY, METHOD) if row[0] != "task"]
    evaluated = [row for row in rows if row[0].startswith(EVALUATED)]
    trained = [row for row in rows if row not in evaluated]
    return "\n".join(
        [
            INTRODUCTION.format(study=STUDY, method=METHOD),
            f"## Training: {len(trained)} lines\n\n{_table(trained)}",
            f"## Evaluation: {len(evaluated)} lines\n\n{_table(evaluated)}",
        ]
    )


def _table(rows: list[tuple[str, Any, Any]]) -> str:
    shown = [(code(key), _value(imagenet), _value(t2i)) for key, imagenet, t2i in rows]
    return table(("key", "`imagenet`", "`t2i`"), shown)


def _value(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(map(code, value))
    return "none" if value is None else code(value)
