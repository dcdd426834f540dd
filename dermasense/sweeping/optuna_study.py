"""A search that Optuna leads: TPE and pruning, kept in a sqlite file that outlives a kill.

The plug-in hydra-optuna-sweeper 1.3 admits only Optuna before 3, whose sqlite storage fails with
today's SQLAlchemy, and it does not resume; hence this bridge to Optuna's ask-and-tell interface.
"""

import functools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError
from dermasense.sweeping.outcome import Outcome, Pruned, outcome
from dermasense.sweeping.plan import Plan
from dermasense.sweeping.search import Trial, values_of
from dermasense.sweeping.space import Between, Choice, Space, Steps

FILE, NAME = "study.db", "sweep"


class OptunaSearch:
    """Asks the study of a sweep for trials.

    Draws are a function of seed and trial number: a search that was cut goes on as if it had not.

    Args:
        plan, space: what is asked.
        folder: of the sweep.

    Raises:
        DermaSenseError: where Optuna is not installed.
    """

    def __init__(self, plan: Plan, space: Space, folder: Path):
        self.plan, self.space, self.folder = plan, space, folder
        self.study = open_study(folder, pruner=plan.pruner, options=_pruning(plan), plan=plan)

    def remaining(self) -> Iterator[Trial]:
        from optuna.trial import Trial as OptunaTrial
        from optuna.trial import TrialState

        for cut in self.study.get_trials(states=(TrialState.RUNNING,)):
            self._reseed(cut.number)
            trial = self._worded(OptunaTrial(self.study, cut._trial_id))
            ended = outcome(self.folder / str(cut.number), self.plan.metrics)
            if ended:  # cut after its run, before it was told
                self.tell(trial, ended)
            else:
                yield trial
        while self._next():
            yield self._worded(self.study.ask())

    def tell(self, trial: Trial, result: Outcome) -> None:
        from optuna.trial import TrialState

        if result.state == "finished":
            self.study.tell(trial.number, list(result.scores))
        else:
            states = {"failed": TrialState.FAIL, "pruned": TrialState.PRUNED}
            self.study.tell(trial.number, state=states[result.state])

    def _next(self) -> bool:
        """Makes ready what `ask` will give; False where all trials have been asked for."""
        from optuna.trial import TrialState

        if self.study.get_trials(states=(TrialState.WAITING,)):
            return True  # cut between its drawing and its run
        number = len(self.study.get_trials(deepcopy=False))
        if number >= self.plan.trials(self.space):
            return False
        self._reseed(number)
        if self.plan.sampler != "tpe":
            drawn, options = values_of(self.plan, self.space, number), self.space.options
            self.study.enqueue_trial(
                {key: _value(options[key], word) for key, word in drawn.items()}
            )
        return True

    def _reseed(self, number: int) -> None:
        from optuna.samplers import TPESampler

        seed = random.Random(f"{self.plan.seed}:{number}").getrandbits(31)
        self.study.sampler = TPESampler(n_startup_trials=self.plan.startup, seed=seed)

    def _worded(self, trial: Any) -> Trial:
        values = {key: _suggest(trial, key, each) for key, each in self.space.options.items()}
        return Trial(trial.number, values)


def open_study(folder: Path, *, pruner: str | None, options: dict, plan: Plan | None = None) -> Any:
    """The study of a sweep; made where `plan` is given and there is none.

    Raises:
        DermaSenseError: where Optuna is not installed.
    """
    optuna = import_optuna()
    storage = _storage(str(folder.resolve() / FILE))
    if plan is None:
        return optuna.load_study(study_name=NAME, storage=storage, pruner=_pruner(pruner, options))
    return optuna.create_study(
        study_name=NAME,
        storage=storage,
        load_if_exists=True,
        directions=[f"{plan.better[metric]}imize" for metric in plan.metrics],
        pruner=_pruner(pruner, options),
    )


def watch_trial(
    folder: Path, number: int, metric: str, *, pruner: str, startup: int, warmup: int
) -> Callable[[Sequence[dict]], None]:
    """A function that reports each epoch of a trial to its study, in whatever process it runs.

    Args:
        folder: of the sweep.
        number: of the trial.
        metric: validation metric that decides.
        pruner, startup, warmup: as in the plan.

    Returns:
        Takes the history of a run (a row an epoch, `val_<metric>` in it); raises `Pruned` where
        the pruner stops the trial.
    """
    from optuna.trial import Trial as OptunaTrial

    study = open_study(folder, pruner=pruner, options={"startup": startup, "warmup": warmup})
    frozen = study.get_trials()[number]
    trial, known = OptunaTrial(study, frozen._trial_id), set(frozen.intermediate_values)

    def watch(history: Sequence[dict]) -> None:
        step, value = len(history), history[-1][f"val_{metric}"]
        if step not in known:  # those of a run that was cut and goes on
            trial.report(value, step)
        if trial.should_prune():
            shown = "not defined" if math.isnan(value) else f"{value:.3f}"
            raise Pruned(f"stopped by the {pruner} pruner after epoch {step}: {metric} {shown}")

    return watch


def import_optuna() -> Any:
    """The package, quiet.

    Raises:
        DermaSenseError: where it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise DermaSenseError(
            "this search needs Optuna: pip install 'dermasense[sweep]', or take "
            "hydra/sweeper=random or grid, which need nothing."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@functools.cache  # one connection for all trials that run in this process
def _storage(path: str) -> Any:
    from optuna.storages import RDBStorage
    from sqlalchemy import URL

    return RDBStorage(URL.create("sqlite", database=path).render_as_string())


def _pruning(plan: Plan) -> dict:
    return {"startup": plan.startup, "warmup": plan.warmup}


def _pruner(name: str | None, options: dict) -> Any:
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if name == "median":
        # Epochs are told from 1 on, and Optuna prunes at the step that it is given.
        return MedianPruner(
            n_startup_trials=options["startup"],
            n_warmup_steps=1 + options["warmup"],
            n_min_trials=2,
        )
    if name == "hyperband":
        return HyperbandPruner(min_resource=1 + options["warmup"])
    return NopPruner()


def _suggest(trial: Any, key: str, option: Choice | Steps | Between) -> str:
    """The value that the study gives an option, as a word."""
    if isinstance(option, Between):
        suggest = trial.suggest_int if option.whole else trial.suggest_float
        return option.word(suggest(key, option.low, option.high, log=option.log))
    if isinstance(option, Steps) and _whole(option):
        low, *more = option.numbers
        step = more[0] - low if more else 1
        return str(trial.suggest_int(key, low, option.numbers[-1], step=step))
    return trial.suggest_categorical(key, option.words)


def _whole(option: Steps) -> bool:
    return all(isinstance(number, int) for number in option.numbers)


def _value(option: Choice | Steps | Between, word: str) -> Any:
    if isinstance(option, Between):
        return int(word) if option.whole else float(word)
    return int(word) if isinstance(option, Steps) and _whole(option) else word
