"""Hydra finds plug-ins in this namespace package (no __init__.py here); see dermasense.sweeping.

Every Hydra program imports this file when it starts, so it imports nothing that takes time.
"""

from typing import Any

from hydra.plugins.sweeper import Sweeper


class SearchSweeper(Sweeper):
    """Random, grid and Optuna's search over the options of a multirun.

    Options are those of `conf/hydra/sweeper/optuna.yaml`.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        from hydra.core.plugins import Plugins

        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        from dermasense.sweeping.hydra_sweep import HydraSweep

        HydraSweep(self, self.options).run(arguments)
