"""What a reader of a finished study sees first, in the terminal and in the report."""

from __future__ import annotations

TABLES = ("table1", "table2", "table3", "seeds")
FIGURES = ("overview", "figure1")
