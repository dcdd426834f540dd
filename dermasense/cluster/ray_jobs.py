"""Jobs on a Ray cluster: each result once, whatever worker or machine dies meanwhile."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dermasense.cluster.ray_cluster import Cluster

# What a command reads of its environment, and the threads of its arithmetic.
_PREFIXES = ("DERMASENSE_", "HYDRA_", "OMP_", "MKL_", "OPENBLAS_", "NO_ALBUMENTATIONS")


@dataclass(frozen=True)
class Lost:
    """In the place of a result: why there is none."""

    reason: str


@dataclass(frozen=True)
class Surroundings:
    """Working folder, command line and environment of the command, for a worker to stand in."""

    folder: str
    words: tuple[str, ...]
    environment: dict[str, str]

    @classmethod
    def here(cls) -> "Surroundings":
        known = {key: text for key, text in os.environ.items() if key.startswith(_PREFIXES)}
        return cls(os.getcwd(), tuple(sys.argv), known)

    def enter(self) -> None:
        os.chdir(self.folder)
        sys.argv[:] = self.words
        os.environ.update(self.environment)


def run_on_ray(
    cluster: Cluster,
    jobs: Sequence[Callable[[], Any]],
    say: Callable[[str], None],
    names: Sequence[str] | None = None,
) -> list[Any]:
    """Runs every job; one whose worker or machine dies is started again on what is left.

    A job may therefore begin more than once, though never twice at the same time on one machine: it
    must go on from what it left.

    Args:
        cluster: where, and what each job takes.
        jobs: without arguments, picklable (closures are).
        say: told of every job that ends, and of every worker that dies.
        names: of the jobs, default "job 0", "job 1", ...

    Returns:
        Results in the order of the jobs; `Lost` where a job raised, or died too often.

    Raises:
        DermaSenseError: the cluster cannot be joined.
    """
    cluster.join()
    import ray
    from ray.exceptions import RayError, RayTaskError

    names = names or [f"job {number}" for number in range(len(jobs))]
    task = ray.remote(_stand_in).options(
        num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_retries=0
    )
    here = ray.put(Surroundings.here())
    pickled = [ray.put(_Job(job)) for job in jobs]
    waiting = {task.remote(here, job): number for number, job in enumerate(pickled)}
    results: list[Any] = [None] * len(jobs)
    deaths = [0] * len(jobs)
    try:
        while waiting:
            ended, _ = ray.wait(list(waiting), num_returns=1)
            number = waiting.pop(ended[0])
            try:
                results[number] = ray.get(ended[0])
                say(f"{names[number]} ended")
            except RayTaskError as error:
                cause = error.cause if isinstance(error.cause, Exception) else error
                results[number] = Lost(f"{type(cause).__name__}: {cause}")
            except RayError as error:  # of worker, machine or memory
                deaths[number] += 1
                what = f"its worker died ({type(error).__name__})"
                if deaths[number] > cluster.restarts:
                    results[number] = Lost(f"{what}, {deaths[number]} times")
                    continue
                say(f"{names[number]}: {what}; started again ({deaths[number]}/{cluster.restarts})")
                waiting[task.remote(here, pickled[number])] = number
    except BaseException:
        for reference in waiting:
            ray.cancel(reference, force=True)
        raise
    return results


@dataclass(frozen=True)
class _Job:
    """Keeps Ray from taking a callable for a reference of its own."""

    call: Callable[[], Any]


def _stand_in(here: Surroundings, job: _Job) -> Any:
    here.enter()
    return job.call()
