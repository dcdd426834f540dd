"""The LightningModule: one phase of training of a Classifier."""

from collections.abc import Callable, Mapping

import lightning as L
import numpy as np
import torch
from torch import nn

from dermasense.data.shard import WHOLE, Shard
from dermasense.evaluation.metrics import quick
from dermasense.evaluation.own_metric import OwnMetric, own_scores
from dermasense.models.boundaries import IMAGE
from dermasense.models.classifier import Classifier
from dermasense.training.average import WeightAverage, moving
from dermasense.training.compiling import Compiled
from dermasense.training.mixing import Mixing
from dermasense.training.process_group import all_sum, from_first, gathered
from dermasense.training.schedules import Schedule

_OTHERS = 2  # sets the draws of other processes apart from those of process 0, and from mixing's


class LesionClassifier(L.LightningModule):
    """Trains what `model` leaves unfrozen, and scores the validation split after each epoch.

    Args:
        model: the network, already frozen as the phase asks.
        loss: maps logits (N, C) and class indices (N,) to a scalar. One that must know which
            training rows stand in the batch has `of_rows(logits, labels, rows)` besides, and
            `begin_phase()`, which forgets what it learnt.
        make_optimizer: called with the model when a fit begins.
        make_schedule: called with the optimizer and the number of optimizer steps of the phase.
        seed: dropout and its like draw from (seed, phase, epoch, batch), so that a resumed run
            needs no random state.
        phase: index of the phase.
        first_batch: batches of the first epoch that an earlier process has already walked.
        first_epoch: the epoch in which this process begins.
        boundary: where in the network the batches' `x` enter: activations at that boundary, or
            pictures at "image".
        ema_decay: where set, evaluation uses an exponential moving average of the weights.
        mixing: where set, what training batches are blended by; the loss then gets soft targets.
        shard: which of the processes that train together this is.
        metrics: computed beside those of every epoch, by name.
        compiled: training steps run what torch.compile makes of the network; validation does not.

    Attributes:
        rates: learning rate of each parameter group in the latest optimizer step, [] before it.
    """

    def __init__(
        self,
        model: Classifier,
        loss: nn.Module,
        *,
        make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        make_schedule: Callable[[torch.optim.Optimizer, int], Schedule],
        seed: int,
        phase: int,
        first_epoch: int = 0,
        first_batch: int = 0,
        boundary: str = IMAGE,
        ema_decay: float | None = None,
        mixing: Mixing | None = None,
        shard: Shard = WHOLE,
        metrics: Mapping[str, OwnMetric] | None = None,
        compiled: bool = False,
    ):
        super().__init__()
        self.model, self.loss, self.mixing, self.shard = model, loss, mixing, shard
        self._suffix = Compiled(model.suffix) if compiled else model.suffix
        if begin := getattr(loss, "begin_phase", None):
            begin()
        self.ema = WeightAverage(model, ema_decay) if ema_decay else None
        self.make_optimizer, self.make_schedule = make_optimizer, make_schedule
        self.seed, self.phase, self.boundary = seed, phase, boundary
        self.first_epoch, self.first_batch = first_epoch, first_batch
        self.metrics = metrics or {}
        self.schedule: Schedule | None = None
        self.steps_taken = 0
        self.rates: list[float] = []
        self.scores: dict[str, float] = {}
        self.register_buffer("loss_sum", torch.zeros((), dtype=torch.float64))
        self.register_buffer("loss_count", torch.zeros((), dtype=torch.int64))
        self._validation: list[dict[str, torch.Tensor]] = []
        # Read by DDP, which sends process 0's buffers round in each step: those alone that differ.
        self._ddp_params_and_buffers_to_ignore = self._left_to_itself()

    def _left_to_itself(self) -> list[str]:
        moved = moving(self.model)
        moved = {f"{place}.{name}" for name in moved for place in ("model", "ema.module")}
        buffers = [name for name, _ in self.named_buffers() if name not in moved]
        return buffers + [n for n, _ in self.named_parameters() if n.startswith("ema.")]

    @property
    def evaluated(self) -> Classifier:
        """The network that validation scores and checkpoints keep: the average if there is one."""
        return self.ema.module if self.ema is not None else self.model

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self.make_optimizer(self.model)
        self.schedule = self.make_schedule(optimizer, self.optimizer_steps)
        return optimizer

    @property
    def optimizer_steps(self) -> int:
        """Optimizer steps in the whole phase, from its first epoch."""
        batches = self.trainer.datamodule.batches_per_epoch
        return -(-batches // self.trainer.accumulate_grad_batches) * self.trainer.max_epochs

    def epoch_batch(self, batch_idx: int) -> int:
        """Index of a batch in its whole epoch, also where the epoch was cut and resumed."""
        cut = self.first_batch if self.current_epoch == self.first_epoch else 0
        return batch_idx + cut

    def place(self, batch_idx: int) -> list[int]:
        """What every draw of a training step is a function of: seed, phase, epoch, batch.

        And the process, where several train together: their parts of a batch need draws of their
        own.
        """
        process = [_OTHERS, self.shard.rank] if self.shard.rank else []
        return [self.seed, self.phase, self.current_epoch, self.epoch_batch(batch_idx), *process]

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        place = self.place(batch_idx)
        seed = int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]) >> 1
        # torch.manual_seed takes milliseconds where a CUDA build has no GPU: it keeps a traceback.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        x, target = batch["x"], batch["label"]
        if self.mixing is not None:
            x, target = self.mixing(x, target, self.place(batch_idx))
        logits = self._suffix(x, self.boundary)
        if of_rows := getattr(self.loss, "of_rows", None):
            loss = of_rows(logits, target, batch["row"])
        else:
            loss = self.loss(logits, target)
        count = len(batch["label"])
        if self.shard.world > 1:
            count = self.trainer.datamodule.samples_in(self.epoch_batch(batch_idx))
            loss = loss * self.shard.weight(count)
        self.loss_sum += loss.detach().double() * (count / self.shard.world)
        self.loss_count += count
        return loss

    def backward(self, loss: torch.Tensor, *args, **kwargs) -> None:
        """The gradient of a batch's part in the mean over the batches of its optimizer step.

        Lightning has divided by `accumulate_grad_batches`, and an epoch may end before they are so
        many.
        """
        together = self.trainer.accumulate_grad_batches
        place = self.epoch_batch(self.trainer.fit_loop.batch_idx)
        left = self.trainer.datamodule.batches_per_epoch - place // together * together
        super().backward(loss * (together / min(together, left)), *args, **kwargs)

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.steps_taken += 1
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.schedule.after_step()
        if self.ema is not None:
            self.ema.update(self.model, step=self.steps_taken)

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        # In float32, as the saved weights are judged afterwards: the same network, the same scores.
        with torch.autocast(self.device.type, enabled=False):
            logits = self.evaluated.suffix(batch["x"], self.boundary)
        self._validation.append({"logits": logits, "label": batch["label"]})

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat([part["logits"] for part in self._validation])
        labels = torch.cat([part["label"] for part in self._validation])
        self._validation.clear()
        if self.shard.world > 1:
            # Parts follow each other in the split, so in the order of processes they are the split.
            parts = gathered((logits.cpu(), labels.cpu()))
            if parts is not None:
                logits, labels = (
                    torch.cat(each).to(self.device) for each in zip(*parts, strict=True)
                )
        self.scores = from_first(self._scores(logits, labels) if self.shard.rank == 0 else None)

    def _scores(self, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        loss = self.loss(logits, labels).item()
        of = logits.cpu().numpy(), labels.cpu().numpy()
        return {**quick(*of, logits.shape[1]), **own_scores(self.metrics, *of), "loss": loss}

    def saved_state(self) -> dict[str, torch.Tensor]:
        """The state_dict of all processes together, for a checkpoint; each must call it."""
        return {**self.state_dict(), "loss_sum": all_sum(self.loss_sum)}

    def load_saved(self, state: dict[str, torch.Tensor]) -> None:
        """Loads what `saved_state` gave."""
        self.load_state_dict(state)
        if self.shard.rank:
            self.loss_sum.zero_()  # process 0 has what all had

    def take_training_loss(self) -> float:
        """Mean training loss an image since the epoch began, then starts anew."""
        mean = (all_sum(self.loss_sum) / self.loss_count.clamp(min=1)).item()
        self.loss_sum.zero_()
        self.loss_count.zero_()
        return mean
