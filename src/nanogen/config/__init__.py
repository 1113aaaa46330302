"""Configuration: studies, methods, tasks and models, resolved once and validated."""

from nanogen.config.load import latent_shape, load_model, load_run
from nanogen.config.model_schema import Model
from nanogen.config.schema import PIXELS, PublicRun, Run
from nanogen.config.studies import load_study, study_from
from nanogen.config.study_schema import Study
from nanogen.config.yaml_files import available

__all__ = [
    "PIXELS",
    "Model",
    "PublicRun",
    "Run",
    "Study",
    "available",
    "latent_shape",
    "load_model",
    "load_run",
    "load_study",
    "study_from",
]
