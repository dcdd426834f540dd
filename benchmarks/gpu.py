"""Training and inference images a second on a GPU: where does the time go, and what lifts it?

    bash benchmarks/gpu.sh

A row a network, batch size and arm. `ratio` is the arm's rate over that of `step`, the same step on
a batch that lies on the device already: what a perfect input pipeline would reach. The arms:

- step: forward, backward, optimizer, on one batch on the device;
- loader: our LightningModule and DataModule, decoded store, augment=light in the loader's workers;
- device: the same with pixels=device and augment=device;
- bare: a plain loop over a plain dataset with the same augmentation; timm: its loader in that loop;
- compiled: `step` under torch.compile, with the seconds that compiling took;
- inference: forward alone, on a batch on the device; inference_half in float16.

All in bfloat16 where the device has it. Pictures are random.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from loops import Bench, Clock

from dermasense.data.device_augment import device as device_augment
from dermasense.files import write_csv
from dermasense.provenance import commit, machine
from dermasense.training.hardware import resolve_precision

RESULTS = Path(__file__).parent / "results" / "gpu.csv"
MODELS = {"efficientnet_b0": 224, "efficientnet_b1": 224, "efficientnet_b4": 380}
COLUMNS = [
    "backbone", "input_size", "batch_size", "arm", "images_per_second", "ratio", "repeats",
    "precision", "workers", "compile_seconds", "memory_gb", "device", "torch", "command", "commit",
    "machine",
]  # fmt: skip


class GpuBench(Bench):
    """The loops in the precision that training takes, and the arms of this file."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.precision = resolve_precision("auto", self.device)
        self.compile_seconds = 0.0

    def autocast(self) -> torch.autocast:
        half = self.precision == "bf16-mixed"
        return torch.autocast(self.device, torch.bfloat16, enabled=half)

    def loop(self, net: nn.Module, optimizer: torch.optim.Optimizer, loader) -> float:
        forward = net.forward
        net.forward = lambda x: self._half(forward, x)
        return super().loop(net, optimizer, loader)

    def _half(self, forward: Callable, x: torch.Tensor) -> torch.Tensor:
        with self.autocast():
            return forward(x)

    def step(self) -> float:
        net = self.model("all")
        pictures = self.on_device()
        return self.steps(net, lambda: self._half(net, pictures))

    def compiled(self) -> float:
        net, pictures = self.model("all"), self.on_device()
        fast = torch.compile(net)
        began = time.perf_counter()
        self._half(fast, pictures).float().mean().backward()
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.compile_seconds = round(time.perf_counter() - began, 1)
        return self.steps(net, lambda: self._half(fast, pictures))

    def loader(self) -> float:
        return self.ours()

    def on_the_device(self) -> float:
        """As `loader`, with pixels=device."""
        plain = self.data

        def data():
            made = plain()
            made._pixels_on, made.augment = self.device, device_augment(self.size)
            return made

        self.data = data
        try:
            return self.ours()
        finally:
            self.data = plain

    def inference(self, half: bool = False) -> float:
        net, pictures = self.model(0).eval(), self.on_device()
        kind = torch.float16 if half else torch.bfloat16
        on = half or self.precision == "bf16-mixed"
        clock = Clock(self.device)
        with torch.autocast(self.device, kind, enabled=on):
            for _ in range(self.options.steps + 3):
                with torch.no_grad():
                    net(pictures)
                if self.device == "cuda":
                    torch.cuda.synchronize()
                clock.times.append(time.perf_counter())
        return clock.rate(self.batch)

    def on_device(self) -> torch.Tensor:
        pictures = torch.from_numpy(self.images[: self.batch]).permute(0, 3, 1, 2)
        return pictures.to(self.device)

    def arms(self) -> dict[str, Callable[[], float]]:
        found = {
            "step": self.step,
            "loader": self.loader,
            "device": self.on_the_device,
            "bare": self.bare,
            "timm": self.timm,
            "inference": self.inference,
            "inference_half": lambda: self.inference(half=True),
        }
        if self.options.compile:
            found["compiled"] = self.compiled
        return found


def measure(bench: GpuBench, repeats: int) -> list[dict]:
    found: dict[str, list[float]] = {arm: [] for arm in bench.arms()}
    memory = dict.fromkeys(found, 0.0)
    for _ in range(repeats):
        for arm, run in bench.arms().items():
            if bench.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            found[arm].append(run())
            if bench.device == "cuda":
                memory[arm] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    rows = []
    for arm, rates in found.items():
        rows.append(
            {
                "backbone": bench.options.backbone,
                "input_size": bench.size,
                "batch_size": bench.batch,
                "arm": arm,
                "images_per_second": round(statistics.median(rates), 1),
                "ratio": round(
                    statistics.median(a / b for a, b in zip(rates, found["step"], strict=True)), 3
                ),
                "repeats": repeats,
                "precision": bench.precision,
                "workers": bench.workers,
                "compile_seconds": bench.compile_seconds if arm == "compiled" else "",
                "memory_gb": memory[arm] or "",
                "device": torch.cuda.get_device_name() if bench.device == "cuda" else "cpu",
                "torch": torch.__version__,
            }
        )
        print("  ".join(f"{k} {rows[-1][k]}" for k in list(rows[-1])[:6]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--tiny", action="store_true", help="show that it runs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    models, sizes = {name: MODELS[name] for name in given.backbones}, given.batch_sizes
    if given.tiny:
        models, sizes = {"efficientnet_b0": 32}, [4]
        given.steps, given.repeats, given.compile = 2, 1, False
    command = " ".join(["bash benchmarks/gpu.sh", *sys.argv[1:]])
    end = {"command": command, "commit": commit(), "machine": machine()}
    rows: list[dict] = []
    for backbone, size in models.items():
        for batch in sizes:
            options = SimpleNamespace(
                backbone=backbone,
                image_size=size,
                batch_size=batch,
                steps=given.steps,
                channels_last=True,
                compile=given.compile,
            )
            rows += [row | end for row in measure(GpuBench(options), given.repeats)]
            write_csv(given.results, rows, COLUMNS)  # what was measured stays, whatever comes


if __name__ == "__main__":
    main()
