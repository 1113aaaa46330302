"""A trained model as others get it: its files, the networks it is sampled with, and a model card."""
