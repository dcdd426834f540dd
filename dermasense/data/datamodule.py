"""LightningDataModule over a prepared catalog: a loader an epoch, fixed evaluation loaders."""

import functools
import hashlib
import json
import signal

import lightning as L
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from dermasense.data.augment import Augmentation
from dermasense.data.balance import Draws, Permutation, Rows, TrainingSplit, build_rows
from dermasense.data.dataset import Activations, Blends, LesionImages, View
from dermasense.data.device_augment import DeviceAugmentation
from dermasense.data.device_pixels import DevicePixels, Places
from dermasense.data.prepared import Prepared
from dermasense.data.sampling import (
    BatchKeys,
    EpochBatches,
    batches_in,
    limited,
    sequential_batches,
)
from dermasense.data.shard import WHOLE, Shard
from dermasense.errors import DermaSenseError

PROBED = 64  # pictures that tell one augmentation from another

# SMOTE's search for neighbours takes many seconds, and the trials of a sweep all ask for the same.
_latest_rows: dict[tuple, Rows] = {}


class LesionData(L.LightningDataModule):
    """Train, val and test loaders.

    Args:
        prepared: catalog, decoded store and split, aligned.
        balance: name and options of the balancing, for `dermasense.data.balance.build_rows`.
        augment: augmentation of training images, or None.
        batch_size: images a batch, of all processes together.
        num_workers: loader processes, of all training processes together; 0 loads in these.
        seed: seed of the run.
        overfit_batches: where set, every epoch is these first batches of the first epoch, without
            augmentation, and validation walks them too: a network that cannot learn them has a bug.
        pixels_on: device whose memory holds all pictures while training, None to load them batch
            by batch; with it, `augment` works there too.
        limit_batches: an integer ends each epoch after so many batches, a float in (0, 1] after
            that share of them, at least one; None walks all.

    Attributes:
        activations: what loaders read instead of pictures, by split: its views, each with a row
            for each of `draws(split)`. Epoch e of phase p trains on view p + e modulo the views.
        shard: what this process walks of each batch and split, where several train together.

    Raises:
        DermaSenseError: for a number of batches or a share that is none.
    """

    def __init__(
        self,
        prepared: Prepared,
        *,
        balance: dict,
        augment: Augmentation | None,
        batch_size: int,
        num_workers: int,
        seed: int,
        overfit_batches: int | None = None,
        limit_batches: int | float | None = None,
        pixels_on: str | None = None,
    ):
        super().__init__()
        _check_limits(overfit_batches, limit_batches)
        self.prepared, self.balance = prepared, balance
        self.augment = None if overfit_batches else augment
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.overfit_batches, self.limit_batches = overfit_batches, limit_batches
        self.phase, self.first_epoch, self.first_batch = 0, 0, 0
        frame = prepared.catalog.frame
        codes = {name: code for code, name in enumerate(prepared.catalog.class_names)}
        self._labels = frame["label"].map(codes).to_numpy(np.int64)
        self._rows: Rows | None = None
        self._blended: tuple[list[View], Rows] | None = None
        self.activations: dict[str, list[View]] = {}
        self.shard = WHOLE
        self._pixels: DevicePixels | None = None
        self._pixels_on = pixels_on
        if pixels_on and not isinstance(self.augment, DeviceAugmentation | None):
            raise DermaSenseError(
                "pixels=device: this augmentation works on the loader's side; type augment=device "
                "or augment=none."
            )

    def frame(self, split: str) -> pd.DataFrame:
        """Catalog rows of a split, in the order in which its loader walks them."""
        return self.prepared.catalog.frame[self.prepared.split.to_numpy() == split]

    def dataset(self, split: str, augment: Augmentation | None = None) -> LesionImages:
        """Images of a split."""
        inside = np.flatnonzero(self.prepared.split.to_numpy() == split)
        store = self.prepared.store
        return LesionImages(
            store.images, self.prepared.rows[inside], self._labels[inside], augment=augment
        )

    def labels(self, split: str) -> np.ndarray:
        """Class indices of a split, int64 (n,)."""
        return self._labels[self.prepared.split.to_numpy() == split]

    @property
    def class_counts(self) -> np.ndarray:
        """Training images of each class before balancing, (C,)."""
        names = self.prepared.catalog.class_names
        return np.bincount(self.labels("train"), minlength=len(names))

    @property
    def rows(self) -> Rows:
        """The training rows after balancing, built once.

        With balance=smote_features they are the real ones alone until `activations` has them.
        """
        views = self.activations.get("train")
        if views and self.balance["name"] == "smote_features":
            return self._rows_of_features(views)
        if self._rows is None:
            data = self.dataset("train")
            names = self.prepared.catalog.class_names
            facts = [str(self.prepared.store.path), list(names), self.seed, self.balance]
            frame = self.frame("train")
            if "attribute" in self.balance:
                facts.append(frame.get(self.balance["attribute"], frame.index).astype(str).tolist())
            key = (json.dumps(facts), data.rows.tobytes(), data.labels.tobytes())
            # What a balance from outside reads, and whether its code is the same, nobody knows.
            if key not in _latest_rows or "_target_" in self.balance:
                rows = build_rows(
                    labels=data.labels,
                    images=_RowsOf(data.images, data.rows),
                    class_names=names,
                    seed=self.seed,
                    frame=frame,
                    **self.balance,
                )
                _latest_rows.clear()
                _latest_rows[key] = rows
            self._rows = _latest_rows[key]
        return self._rows

    def _rows_of_features(self, views: list[View]) -> Rows:
        # Imported here: scikit-learn's neighbours are of no use to the other balances.
        from dermasense.data.smote_features import smote_features

        if self._blended is None or self._blended[0] is not views:
            options = {key: value for key, value in self.balance.items() if key != "name"}
            names = self.prepared.catalog.class_names
            split = TrainingSplit(self.labels("train"), (), names, self.seed)
            # Of all looks at an image, so that one odd crop does not name its neighbours.
            mean = sum(view[:].astype(np.float32) for view in views) / len(views)
            self._blended = views, Permutation(smote_features(mean, split, **options))
        return self._blended[1]

    def draws(self, split: str) -> Draws:
        """Every sample of a split: of training the balanced ones, real and synthetic."""
        if split == "train":
            return self.rows.draws
        return Draws.of_rows(np.arange(len(self.labels(split))))

    @property
    def batches_per_epoch(self) -> int:
        """Training batches an epoch, after every limit."""
        total = batches_in(len(self.rows), self.batch_size, self.overfit_batches)
        return limited(total, self.limit_batches)

    def samples_in(self, batch: int) -> int:
        """Samples of a training batch, of all processes together."""
        return min(self.batch_size, len(self.rows) - batch * self.batch_size)

    def share(self, shard: Shard) -> None:
        """Walks this process's part of every batch and split from now on.

        Raises:
            DermaSenseError: a batch size that does not divide, or a split with fewer images than
                there are processes.
        """
        if self.batch_size % shard.world:
            raise DermaSenseError(
                f"batch_size={self.batch_size} is that of all processes together and must be a "
                f"multiple of trainer.devices={shard.world}."
            )
        for split in ("val", "test"):
            count = len(self.labels(split))
            if count < shard.world:
                raise DermaSenseError(
                    f"the {split} split has {count} images for trainer.devices={shard.world}; use "
                    "fewer devices."
                )
        self.shard = shard

    def augmented_sample(self, most: int = 16) -> dict:
        """The first images of the first epoch as the network will see them, as a batch."""
        batches = EpochBatches(self.rows, most, seed=self.seed, phase=0, epoch=0)
        return self.dataset("train", self.augment)[next(iter(batches))]

    @functools.cached_property
    def looks(self) -> str:
        """Text that differs where the augmentation draws otherwise, also by what no option tells.

        Its code may come from outside, and change: hence the pixels of some augmented pictures.
        """
        images, seen = self.prepared.store.images, hashlib.blake2b(digest_size=16)
        for seed in range(PROBED):
            seen.update(np.ascontiguousarray(self.augment(images[seed % len(images)], seed)))
        return json.dumps([self.augment.description, seen.hexdigest()])

    def start_at(self, phase: int, epoch: int = 0, batch: int = 0) -> None:
        """Places the training loader: the next fit walks `phase` from this epoch and batch on."""
        self.phase, self.first_epoch, self.first_batch = phase, epoch, batch

    def train_dataloader(self) -> DataLoader:
        """The loader of the trainer's current epoch (the trainer reloads it every epoch)."""
        epoch = self.trainer.current_epoch
        start = self.first_batch if epoch == self.first_epoch else 0
        batches = self._batches(self.phase, epoch, start)
        if "train" in self.activations:
            views = self.activations["train"]
            view = views[(self.phase + epoch) % len(views)]  # phases of one epoch differ too
            return self._loader(self._activations("train", view), batches)
        return self._pictures("train", batches)

    def _pictures(self, split: str, batches) -> DataLoader:
        """Loader of pictures for the trainer, or of their places on the device."""
        if self._pixels_on:
            data = self.dataset(split)
            return self._loader(Places(data.rows, data.labels), batches)
        return self._loader(
            self.dataset(split, self.augment if split == "train" else None), batches
        )

    def transfer_batch_to_device(self, batch: dict, device, dataloader_idx: int) -> dict:
        """Lightning's hook; a batch of places becomes pictures here."""
        if "first" not in batch:
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        if self._pixels is None:
            self._pixels = DevicePixels(self.prepared.store.images, self._pixels_on)
        return self._pixels.fetch(batch, self.augment if self.trainer.training else None)

    def _batches(self, phase: int, epoch: int, start: int = 0) -> EpochBatches:
        if self.overfit_batches:
            phase, epoch = 0, 0
        return EpochBatches(
            self.rows,
            self.batch_size,
            seed=self.seed,
            phase=phase,
            epoch=epoch,
            start=start,
            most=self.batches_per_epoch,
            shard=self.shard,
        )

    def pictures(self, split: str, draws: Draws, seeds: np.ndarray, batch_size: int) -> DataLoader:
        """Pictures of any samples of a split, in order, augmented (training alone) by `seeds`."""
        augment = self.augment if split == "train" else None
        parts = np.split(np.arange(len(draws)), range(batch_size, len(draws), batch_size))
        batches = [BatchKeys(part, draws[part], seeds[part]) for part in parts]
        return self._loader(self.dataset(split, augment), batches)

    def val_dataloader(self) -> DataLoader:
        if self.overfit_batches:
            return self._loader(self.dataset("train"), self._batches(0, 0))
        if self._pixels_on and "val" not in self.activations:
            return self._pictures("val", self._in_order(len(self.labels("val"))))
        return self.evaluation_loader("val")

    def evaluation_loader(self, split: str) -> DataLoader:
        """Every image of this process's part of a split once, in order, without augmentation."""
        if split != "train" and split in self.activations:
            data = self._activations(split, self.activations[split][0])
        else:
            data = self.dataset(split)
        return self._loader(data, self._in_order(len(data)))

    def _in_order(self, count: int) -> list[BatchKeys]:
        return sequential_batches(count, 2 * self.batch_size // self.shard.world, self.shard)

    def _activations(self, split: str, view: View) -> Activations:
        draws = self.draws(split)
        if split == "train" and self.balance["name"] == "smote_features":
            return Activations(Blends(view, draws), draws, self.labels(split))
        return Activations(view, draws, self.labels(split))

    def _loader(self, data: LesionImages | Activations | Places, batches) -> DataLoader:
        # Starting processes each epoch takes longer than reading its activations or places.
        workers = self.num_workers // self.shard.world
        if isinstance(data, Activations | Places):
            workers = 0
        # Batches come whole from the dataset: the sampler's items are batches, so no collation.
        return DataLoader(
            data,
            sampler=batches,
            batch_size=None,
            num_workers=workers,
            worker_init_fn=_ignore_interrupt,
            prefetch_factor=4 if workers else None,
            pin_memory=torch.cuda.is_available(),
        )


def _check_limits(overfit: int | None, limit: int | float | None) -> None:
    if overfit is not None and not (isinstance(overfit, int) and overfit >= 1):
        raise DermaSenseError(f"overfit_batches={overfit}: expected an integer >= 1, or null.")
    share = isinstance(limit, float) and 0 < limit <= 1
    if not (limit is None or share or (isinstance(limit, int) and limit >= 1)):
        raise DermaSenseError(
            f"trainer.limit_train_batches={limit}: expected a number of batches >= 1, or a share "
            "of them as a decimal in (0, 1]."
        )


class _RowsOf:
    """A view of some rows of a store, so that balancing never copies the pixels."""

    def __init__(self, images: np.ndarray, rows: np.ndarray):
        self.images, self.rows = images, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        return self.images[self.rows[index]]


def _ignore_interrupt(_worker: int) -> None:
    # Ctrl-C reaches the whole process group; the training process alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
