"""Freed memory stays with the process while it trains, and only then."""

import resource
import subprocess
import sys

import pytest
import torch

from dermasense.training import freed_memory
from dermasense.training.freed_memory import freed_memory_kept

BLOCK = 64 * 2**20
# Page faults of allocating, filling and freeing a block again and again, without and with it. The
# first rounds do not count: glibc before 2.38 leaves some bytes beside an aligned block, and takes
# the block again when its cache of such leavings, seven of a size, is full.
FAULTS = f"""
import resource, torch
from dermasense.training.freed_memory import freed_memory_kept

def fill(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.empty({BLOCK}, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def faults():
    fill(20)
    return fill(4)

print(faults())
with freed_memory_kept() as kept:
    print(faults(), kept)
"""


def resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.fixture
def glibc():
    if freed_memory._glibc() is None:
        pytest.skip("the C library is not glibc")


def test_a_freed_block_is_taken_again_without_a_page_fault(glibc):
    # A process of its own: a fit before this one leaves a block in the heap that is taken again.
    process = subprocess.run(
        [sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True
    )
    outside, within, kept = process.stdout.split()
    assert kept == "True"
    assert int(within) < int(outside) / 100


def test_memory_goes_back_to_the_system_afterwards(glibc):
    with freed_memory_kept():
        torch.empty(4 * BLOCK, dtype=torch.uint8).fill_(1)
        kept = resident()
    assert resident() < kept - 3 * BLOCK


def test_another_c_library_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(freed_memory, "_glibc", lambda: None)
    with freed_memory_kept() as kept:
        assert not kept
