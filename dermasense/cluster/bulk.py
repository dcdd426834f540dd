"""Bulk prediction on a Ray cluster: Ray Data hands parts of the pictures to actors.

A part is what it is without Ray (`dermasense.inference.bulk`): a file of its own, written under a
temporary name and then renamed. The files are what counts: a part whose worker died is simply not
there and is given out again, and one that was answered twice is the same file. So nothing is lost
or doubled, and a command that was killed goes on, with or without Ray.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from dermasense.cluster.ray_cluster import Cluster
from dermasense.cluster.ray_jobs import Surroundings
from dermasense.errors import DermaSenseError
from dermasense.inference.bulk import Progress, answer_parts
from dermasense.inference.image_sources import Images
from dermasense.inference.model import Model, load
from dermasense.terminal import say


@dataclass(frozen=True)
class RayParts:
    """Answers the parts that are not there yet; in the place of `bulk.answer_parts`.

    Args:
        cluster: where, and what each actor takes.
        bundle, options: of :func:`dermasense.load`, for the actors to load once each.
    """

    cluster: Cluster
    bundle: str
    options: Mapping[str, Any]

    def __call__(
        self,
        model: Model,
        images: Images,
        paths: Sequence[Path],
        part: int,
        progress: Progress | None,
    ) -> None:
        """Writes the missing parts.

        Raises:
            DermaSenseError: a worker cannot do its part, or workers die again and again.
        """
        self.cluster.join()
        deaths = 0
        while missing := [number for number, path in enumerate(paths) if not path.is_file()]:
            done = len(paths) - len(missing)
            say(f"{done} of {len(paths)} parts are there; {len(missing)} are given to the cluster")
            tables = [_table(images, paths, number, part) for number in missing]
            before = sum(map(len, tables))
            self._round(model, images, tables, len(images) - before, progress)
            left = sum(not paths[number].is_file() for number in missing)
            if left:
                say(f"workers died with {left} parts, which are given out again")
            deaths = deaths + 1 if left == len(missing) else 0
            if deaths > self.cluster.restarts:
                raise DermaSenseError(
                    f"launcher=ray: workers died {deaths} times without ending a part, perhaps for "
                    "want of memory; make part_size or batch_size smaller. The same call goes on."
                )

    def _round(
        self,
        model: Model,
        images: Images,
        tables: list[pa.Table],
        done: int,
        progress: Progress | None,
    ) -> None:
        """Gives every part out once; parts of workers that die stay undone."""
        import ray.data
        from ray.exceptions import RayError

        _quiet(ray.data.DataContext.get_current())
        answered = ray.data.from_arrow(tables).map_batches(
            Answerer,
            fn_constructor_args=(
                Surroundings.here(),
                self.bundle,
                dict(self.options),
                images.place,
                model.info.get("sha256"),
            ),
            batch_size=None,  # a block, which is a part
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=self._actors(len(tables))),
            num_cpus=self.cluster.cpus,
            num_gpus=self.cluster.gpus,
            # An actor whose machine is gone would be waited for without end; see __call__.
            max_restarts=0,
            max_task_retries=0,
        )
        # An actor that dies while it loads the bundle ends a round, in spite of max_errored_blocks.
        with contextlib.suppress(RayError):
            for row in answered.iter_rows():
                if row["fault"]:
                    raise DermaSenseError(f"launcher=ray: a worker says: {row['fault']}")
                done += row["pictures"]
                if progress:
                    progress(done, len(images))

    def _actors(self, parts: int) -> int:
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fit = [int(node.get("CPU", 0) // self.cluster.cpus) for node in nodes]
        if self.cluster.gpus:
            gpus = [int(node.get("GPU", 0) // self.cluster.gpus) for node in nodes]
            fit = list(map(min, fit, gpus))
        return max(1, min(sum(fit), parts))


def _table(images: Images, paths: Sequence[Path], number: int, part: int) -> pa.Table:
    """One part as a block: a row a picture, where it is and where its answers go."""
    rows = range(number * part, min((number + 1) * part, len(images)))
    return pa.table(
        {
            "row": list(rows),
            "image_id": [images.ids[row] for row in rows],
            "image": [images.names[row] for row in rows],
            "path": pa.array([_bytes(images.file(row)) for row in rows], pa.binary()),
            "part": [str(paths[number])] * len(rows),
        }
    )


def _bytes(path: str | None) -> bytes | None:
    """A path need not be UTF-8."""
    return None if path is None else os.fsencode(path)


class Answerer:
    """An actor: loads the bundle once, then answers part after part.

    What goes wrong is told in the column `fault`: what an actor raises would be taken for a death.
    """

    def __init__(
        self, here: Surroundings, bundle: str, options: dict, place: str, sha256: str | None
    ) -> None:
        here.enter()
        self.place, self.fault = place, ""
        try:
            self.model = load(bundle, **options)
            if self.model.info.get("sha256") != sha256:
                self.fault = f"{bundle} is another bundle here than where the command was typed."
        except DermaSenseError as error:
            self.fault = str(error)
        except Exception as error:
            self.fault = f"{bundle} cannot be loaded ({type(error).__name__}: {error})"

    def __call__(self, block: pa.Table) -> pa.Table:
        path = Path(block["part"][0].as_py())
        if not self.fault and not path.is_file():
            images = Images.listed(self.place, **self._columns(block))
            try:
                answer_parts(self.model, images, [path], len(images), None)
            except Exception as error:
                self.fault = f"{path.name}: {type(error).__name__}: {error}"
        return pa.table({"pictures": [len(block)], "fault": [self.fault]})

    @staticmethod
    def _columns(block: pa.Table) -> dict[str, list]:
        names = {"rows": "row", "ids": "image_id", "names": "image", "files": "path"}
        columns = {key: block[name].to_pylist() for key, name in names.items()}
        columns["files"] = [
            None if path is None else os.fsdecode(path) for path in columns["files"]
        ]
        return columns


def _quiet(context: Any) -> None:
    """Deaths are told in a sentence, above, and end no round."""
    warnings.filterwarnings("ignore", message="`ray_remote_args`")  # max_restarts has no other way
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
