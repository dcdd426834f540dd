"""Hydra's launcher on Ray, where Hydra looks for plugins; `conf/hydra/launcher/ray.yaml` names it.

hydra-ray-launcher gathers by `ray.get` of all trials, so one that cannot be had ends the sweep and
its summary; its trials run in the folder of Ray's workers and not in that of the command; and it
needs cloudpickle < 3, which joblib (scikit-learn) refuses.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class RayLauncher(Launcher):
    """Runs each job as a task of a Ray cluster; options as `dermasense.cluster.Cluster`."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        # Hydra imports this file in every command, so what is heavy waits.
        from dermasense.cluster.hydra_jobs import launch_on_ray
        from dermasense.cluster.ray_cluster import Cluster

        cluster = Cluster.of(self.options)
        return launch_on_ray(
            cluster, self.context, self.config, self.task, job_overrides, initial_job_idx
        )
