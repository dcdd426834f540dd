"""Hydra's jobs, trials of a sweep or folds, handed to a launcher."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import (
    JobReturn,
    JobStatus,
    configure_log,
    filter_overrides,
    run_job,
    setup_globals,
)
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, open_dict

from dermasense.cluster.ray_cluster import Cluster
from dermasense.cluster.ray_jobs import Lost, run_on_ray
from dermasense.files import write_text
from dermasense.hydra_words import conf_folder
from dermasense.run_folder import record_failure
from dermasense.terminal import say

PRINTED = "printed.txt"  # in the folder of a job: what it would have shown on the screen


def launch_on_ray(
    cluster: Cluster,
    context: HydraContext,
    config: DictConfig,
    task: TaskFunction,
    job_overrides: Sequence[Sequence[str]],
    first: int,
) -> list[JobReturn]:
    """What `hydra_plugins.dermasense_ray.RayLauncher` does.

    Returns:
        Of each job, in order. One that was lost leaves its reason in failed.json and returns NaN,
        as a trial that fails does, so that the sweep goes on.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    Path(config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
    jobs = [
        _job(context, config, task, list(overrides), first + place)
        for place, overrides in enumerate(job_overrides)
    ]
    for job in jobs:
        words = " ".join(filter_overrides(job.overrides))
        say(f"{job.folder} on Ray {words}".strip())
    results = run_on_ray(cluster, jobs, say, [str(job.folder) for job in jobs])
    return [
        _lost(job, result.reason) if isinstance(result, Lost) else result
        for job, result in zip(jobs, results, strict=True)
    ]


@dataclass(frozen=True)
class HydraJob:
    """One job with all that its process needs of this one."""

    context: HydraContext
    config: DictConfig
    task: TaskFunction
    overrides: list[str]
    singletons: Any

    def __call__(self) -> JobReturn:
        setup_globals()
        Singleton.set_state(self.singletons)
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        with (
            open(folder / PRINTED, "a", encoding="utf-8", buffering=1) as screen,
            contextlib.redirect_stdout(screen),
            contextlib.redirect_stderr(screen),
        ):
            return run_job(
                hydra_context=self.context,
                task_function=self.task,
                config=self.config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )

    @property
    def folder(self) -> Path:
        HydraConfig.instance().set_config(self.config)  # `subdir` may ask it for the job's number
        sweep = self.config.hydra.sweep
        return Path(sweep.dir) / sweep.subdir


def _job(
    context: HydraContext, config: DictConfig, task: TaskFunction, overrides: list[str], number: int
) -> HydraJob:
    own = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(own):
        own.hydra.job.id = str(number)
        own.hydra.job.num = number
    return HydraJob(context, own, task, overrides, Singleton.get_state())


def _lost(job: HydraJob, reason: str) -> JobReturn:
    from dermasense.errors import DermaSenseError

    words = job.folder / ".hydra" / "overrides.yaml"  # the summary knows a trial by it
    if job.config.hydra.output_subdir and not words.exists():
        import yaml

        write_text(words, yaml.safe_dump(filter_overrides(job.overrides)))
    value = record_failure(job.folder, DermaSenseError(reason))
    made = JobReturn(overrides=job.overrides, cfg=job.config, status=JobStatus.COMPLETED)
    made.return_value = value
    return made


def launch(
    task: Callable[[DictConfig], Any], config_name: str, words: list[str], jobs: list[list[str]]
) -> None:
    """Runs `task(config)` once for each job, by the launcher that `words` name.

    Args:
        task: picklable; the job's own folder is `hydra.runtime.output_dir`.
        config_name: of the primary configuration.
        words: of the command line for all jobs, such as "hydra/launcher=ray".
        jobs: further words of each.

    Raises:
        DermaSenseError: the launcher is unknown or cannot start.
    """
    from hydra import initialize_config_dir
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins

    from dermasense.errors import DermaSenseError
    from dermasense.hydra_errors import explain

    if not GlobalHydra.instance().is_initialized():
        initialize_config_dir(str(conf_folder()), version_base="1.3")
    loader = GlobalHydra.instance().config_loader()
    try:
        config = loader.load_configuration(config_name, overrides=words, run_mode=RunMode.MULTIRUN)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=loader, callbacks=Callbacks()),
            task_function=task,
            config=config,
        )
        launcher.launch(jobs, initial_job_idx=0)
    except Exception as error:
        sentence = explain(error, str(conf_folder()), config_name, words)
        if sentence is None:
            raise
        raise DermaSenseError(sentence) from None
