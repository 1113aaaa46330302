"""The difference between a method's configurations on the two tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nanogen.config import Study, load_run


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flat(item, f"{key}.{name}" if key else name)
    else:
        yield key, value


def task_difference(study: Study, method: str) -> list[tuple[str, Any, Any]]:
    """Return (key, value for ImageNet, value for text-to-image) where the resolved runs differ."""
    one, two = (
        dict(_flat(load_run(study, method, task).model_dump(mode="json")))
        for task in ("imagenet", "t2i")
    )
    keys = dict.fromkeys([*one, *two])
    return [(key, one.get(key), two.get(key)) for key in keys if one.get(key) != two.get(key)]
