"""Which samples an epoch walks: a function of seed, phase and epoch, wherever it is entered."""

import numpy as np
import pytest

from dermasense.data.balance import Draws, Permutation, build_rows
from dermasense.data.sampling import EpochBatches, batches_in, sequential_batches, view_seeds
from dermasense.data.shard import Shard

LABELS = np.resize([0, 0, 0, 1], 22)
ROWS = build_rows("none", LABELS, [], ("a", "b"), seed=0)


def batches(rows=ROWS, seed=1, phase=0, epoch=0, **options):
    return EpochBatches(rows, 5, seed=seed, phase=phase, epoch=epoch, **options)


def joined(keys, name):
    parts = [getattr(key, name) for key in keys]
    return np.concatenate([part.first if isinstance(part, Draws) else part for part in parts])


def test_an_epoch_shows_every_sample_once():
    keys = list(batches())
    assert [len(key.position) for key in keys] == [5, 5, 5, 5, 2] and len(batches()) == 5
    assert sorted(joined(keys, "position")) == list(range(22))
    assert sorted(joined(keys, "draws")) == list(range(22))
    assert len(set(joined(keys, "seed"))) == 22


@pytest.mark.parametrize("most", [None, 3])
def test_an_epoch_that_is_entered_anywhere_goes_on_as_the_whole_one(most):
    whole = list(batches(most=most))
    assert len(whole) == (most or 5)
    for start in range(len(whole) + 1):
        rest = batches(most=most, start=start)
        assert len(rest) == len(whole) - start
        for key, expected in zip(rest, whole[start:], strict=True):
            assert np.array_equal(key.position, expected.position)
            assert np.array_equal(key.draws.first, expected.draws.first)
            assert np.array_equal(key.seed, expected.seed)


@pytest.mark.parametrize("other", [{"seed": 2}, {"phase": 1}, {"epoch": 1}])
def test_another_seed_phase_or_epoch_has_another_order_and_other_draws(other):
    for name in ("position", "seed"):
        assert not np.array_equal(joined(batches(), name), joined(batches(**other), name))


def test_the_sampler_draws_each_class_as_often():
    rows = build_rows("sampler", LABELS, [], ("a", "b"), seed=0)
    drawn = [joined(batches(rows, epoch=epoch), "draws") for epoch in range(40)]
    assert all(len(epoch) == 22 for epoch in drawn)
    assert LABELS[np.concatenate(drawn)].mean() == pytest.approx(0.5, abs=0.05)  # 5 sigma
    assert LABELS.mean() < 0.25


def test_an_epoch_of_smote_shows_real_and_synthetic_samples_once():
    images = np.random.default_rng(0).integers(0, 256, (22, 4, 4, 3), dtype=np.uint8)
    rows = build_rows("smote", LABELS, images, ("a", "b"), seed=0, k_neighbors=2)
    keys = list(batches(rows))
    assert sorted(joined(keys, "position")) == list(range(len(rows)))
    first = joined(keys, "draws")
    second = np.concatenate([key.draws.second for key in keys])
    assert np.array_equal(LABELS[first], LABELS[second])  # a blend stays inside its class
    assert np.bincount(LABELS[first]).tolist() == [17, 17]
    real = np.concatenate([key.draws.weight for key in keys]) == 0
    assert sorted(first[real]) == list(range(22))


def test_batches_are_counted_with_the_last_small_one():
    assert [batches_in(n, 5) for n in (1, 5, 6, 22)] == [1, 1, 2, 5]
    assert batches_in(22, 5, 3) == 3 and batches_in(22, 5, 9) == 5


def test_evaluation_walks_all_rows_in_order_unaltered():
    keys = sequential_batches(22, 5)
    assert joined(keys, "draws").tolist() == joined(keys, "position").tolist() == list(range(22))
    assert not joined(keys, "seed").any() and not any(key.draws.weight.any() for key in keys)


def test_each_view_and_each_kind_of_sample_has_seeds_of_its_own():
    one, again, other = (view_seeds(1, view, 22) for view in (0, 0, 1))
    made = view_seeds(1, 0, 22, made=True)
    assert np.array_equal(one, again)
    assert len({*one, *other, *made}) == 66


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 41, 42])
def test_an_epoch_is_the_same_for_any_number_of_processes_and_pads_nothing(world, count):
    rows, size = Permutation(Draws.of_rows(np.arange(count))), 12
    whole = list(EpochBatches(rows, size, seed=1, phase=0, epoch=2))
    shards = [Shard(rank, world) for rank in range(world)]
    parts = [list(EpochBatches(rows, size, seed=1, phase=0, epoch=2, shard=s)) for s in shards]
    for index, batch in enumerate(whole):
        pieces = [part[index] for part in parts]
        if (
            len(batch.position) < world
        ):  # too few to share: each walks them all, and they count once
            assert all(np.array_equal(piece.position, batch.position) for piece in pieces)
            assert all(s.weight(len(batch.position)) == 1 for s in shards)
            continue
        assert np.array_equal(np.concatenate([p.position for p in pieces]), batch.position)
        assert np.array_equal(np.concatenate([p.seed for p in pieces]), batch.seed)
        means = [batch.position[s.part(len(batch.position))].mean() for s in shards]
        weights = [s.weight(len(batch.position)) for s in shards]
        assert np.mean(np.multiply(weights, means)) == pytest.approx(batch.position.mean())
    if count >= world:
        judged = [b.position for s in shards for b in sequential_batches(count, 5, s)]
        assert np.array_equal(np.concatenate(judged), np.arange(count))
