"""The paper's testable statements, and whether tables of numbers bear them out."""
