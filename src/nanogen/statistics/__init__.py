"""Correlation coefficients, their intervals and p-values."""
