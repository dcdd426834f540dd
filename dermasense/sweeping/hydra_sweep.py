"""A search as Hydra runs it: words in, trials to the launcher, the folder of the sweep kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError
from dermasense.hydra_words import conf_folder
from dermasense.provenance import shell_line
from dermasense.run_folder import SWEEP
from dermasense.sweeping.outcome import outcome, record_unbegun
from dermasense.sweeping.plan import Plan, directions
from dermasense.sweeping.search import Trial, open_search, run_search
from dermasense.sweeping.space import Space, read_space


class HydraSweep:
    """One call of a multirun.

    Args:
        sweeper: Hydra's sweeper, which knows launcher, configuration and how to compose.
        options: of the group hydra/sweeper.
    """

    def __init__(self, sweeper: Any, options: dict):
        from omegaconf import OmegaConf

        self.sweeper = sweeper
        self.options = OmegaConf.to_container(OmegaConf.create(options), resolve=True)
        self.options.pop("trial")
        self.params = self.options.pop("params") or {}
        self.folder = Path(sweeper.config.hydra.sweep.dir)

    def run(self, arguments: list[str]) -> None:
        """Runs what is left to run.

        Raises:
            DermaSenseError: on any mistake in the search or in its first trial.
            KeyboardInterrupt: on Ctrl-C, with the command that goes on.
        """
        from omegaconf import OmegaConf

        words = [f"{key}={value}" for key, value in self.params.items()]
        space = read_space([*words, *arguments], self.sweeper.hydra_context.config_loader)
        plan = self._plan(self._compose(space, space.first()))
        plan.check()
        plan.trials(space)  # an interval in a grid is refused before anything is written
        if plan.needs_optuna:
            from dermasense.sweeping.optuna_study import import_optuna

            import_optuna()
        self._check_folders()
        space = plan.settle(self.folder, space)
        OmegaConf.save(self.sweeper.config, self.folder / SWEEP)
        search = open_search(plan, space, self.folder)
        try:
            run_search(search, plan, self.folder, lambda each: self._launch(space, plan, each))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Go on with: {self._command(arguments)}") from None

    def _plan(self, first: Any) -> Plan:
        """The plan, where `first` is the configuration of the first trial."""
        from omegaconf import OmegaConf

        options = dict(self.options)
        metrics = options.pop("metrics") or [first.monitor]
        metrics = [metrics] if isinstance(metrics, str) else metrics
        options.pop("_target_", None)
        better = directions(OmegaConf.to_container(first.metrics))
        return Plan(metrics=tuple(metrics), better=better, **options)

    def _launch(self, space: Space, plan: Plan, trials: Sequence[Trial]) -> None:
        """Runs trials of consecutive numbers; one that cannot be composed is recorded as failed."""
        batch = [self._words(space, trial) for trial in trials]
        try:
            results = self.sweeper.launcher.launch(batch, initial_job_idx=trials[0].number)
        except Exception as error:
            if len(trials) == 1:
                return self._refused(space, trials[0], error)
            for trial in trials:
                if outcome(self._place(trial), plan.metrics) is None:
                    self._launch(space, plan, [trial])
            return None
        for trial, result in zip(trials, results, strict=True):
            if outcome(self._place(trial), plan.metrics) is None:
                error = getattr(result, "_return_value", None)
                reason = f"{type(error).__name__}: {error}" if error else "it left no result"
                record_unbegun(self._place(trial), self._told(space, trial.values), reason)
        return None

    def _refused(self, space: Space, trial: Trial, error: Exception) -> None:
        """Records a trial whose words do not compose; any other error is the launcher's own."""
        from dermasense.hydra_errors import explain

        words = self._told(space, trial.values)
        sentence = explain(error, str(conf_folder()), "train", words)
        if sentence is None:
            raise error
        record_unbegun(self._place(trial), words, sentence)

    def _place(self, trial: Trial) -> Path:
        return self.folder / str(trial.number)

    def _words(self, space: Space, trial: Trial) -> list[str]:
        # What is Hydra's own reaches the trial, and is not among the words that it records.
        return [*self._told(space, trial.values), f"hydra.sweeper.trial={trial.number}"]

    @staticmethod
    def _told(space: Space, values: dict[str, str]) -> list[str]:
        return [*space.fixed, *[f"{key}={word}" for key, word in values.items()]]

    def _compose(self, space: Space, values: dict[str, str]) -> Any:
        return self.sweeper.hydra_context.config_loader.load_sweep_config(
            self.sweeper.config, self._told(space, values)
        )

    def _check_folders(self) -> None:
        from omegaconf import OmegaConf

        sweep = OmegaConf.to_container(self.sweeper.config.hydra.sweep, resolve=False)
        if sweep["subdir"] != "${hydra:job.num}":
            raise DermaSenseError(
                "hydra.sweep.subdir cannot be set: a search names its trials' folders by number."
            )

    def _command(self, arguments: Sequence[str]) -> str:
        own = self.sweeper.config.hydra.overrides.hydra
        kept = [word for word in own if not word.startswith(("hydra.sweep.dir=", "hydra.mode="))]
        return shell_line("train", "--multirun", *arguments, *kept, f"out={self.folder}")
