"""Which part of the samples a process walks, where several train one network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """One process of `world`.

    A batch, and a split that is evaluated, is cut into consecutive parts whose sizes differ by at
    most one, and nothing is padded: every sample is walked by one process. A batch with fewer
    samples than there are processes is walked whole by each, and counts once (see `weight`).

    Attributes:
        rank: 0 .. world - 1; process 0 alone writes files.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    def part(self, count: int) -> slice:
        """This process's part of so many samples."""
        return slice(self.rank * count // self.world, (self.rank + 1) * count // self.world)

    def of_batch(self, count: int) -> slice:
        """This process's part of a training batch of so many samples; never empty."""
        return slice(0, count) if count < self.world else self.part(count)

    def weight(self, count: int) -> float:
        """What makes a mean over this process's part count as the part does in the batch.

        The mean over processes of `weight * (mean over the part)` is the mean over the batch, so
        the gradients that DDP averages are those of the whole batch, also where parts differ in
        size.

        Args:
            count: samples of the batch.
        """
        if count < self.world:
            return 1.0
        part = self.part(count)
        return (part.stop - part.start) * self.world / count


WHOLE = Shard()
