"""Publish a trained model: its files, the networks it is sampled with, and a model card."""
