"""The config: one YAML file, typed and frozen. `load` reads it; a config of the original Go program loads unchanged."""

from backupman.config.loading import Loaded, load
from backupman.config.model import Config, Job
from backupman.config.plans import JobPlan, plans, wanting

__all__ = ["Config", "Job", "JobPlan", "Loaded", "load", "plans", "wanting"]
