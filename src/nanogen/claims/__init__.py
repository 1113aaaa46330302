"""The paper's testable claims, and their verdicts by tables of numbers."""
