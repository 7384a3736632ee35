"""The emulation refuses what a GPU would punish, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest


def test_right_kernel_runs(emulation):
    t = np.arange(64)
    neighbour = t ^ 1
    lane = t % 32
    first = np.where(t < 32, 1, 33)
    above = np.where(lane == 0, neighbour, np.roll(neighbour, 1))
    below = np.where(lane == 31, neighbour, np.roll(neighbour, -1))
    np.testing.assert_array_equal(emulation.run_test_kernel("right"), neighbour + first + above - below + 1 + 64)


def test_warp_barrier_orders_its_warp(emulation):
    np.testing.assert_array_equal(emulation.run_test_kernel("warp_exchange"), np.arange(64) ^ 1)


@pytest.mark.parametrize(
    ("kernel", "complaint"),
    [
        ("barrier_in_branch", "barrier at line .* is not reached by all threads"),
        ("two_barriers", "barrier at line .* is not reached by all threads: this one waits at line"),
        ("shuffle_without_lane", "lane that is not there"),
        ("shuffle_outside_mask", "reads lane .*, which is not there"),
        ("vote_without_lane", "lane that is not there"),
        ("matrix_without_lane", "lane that is not there"),
        ("read_before_write", r"read of values\[5\] in shared memory before any write"),
        ("read_before_copy_arrives", "while a copy is on its way"),
        ("race_of_copy_and_reader", "race: the thread writes"),
        ("read_during_copy", "while a copy is on its way"),
        ("misaligned_copy_target", r"values\[1\] is not aligned to 8 bytes"),
        ("misaligned_copy_source", "copy from an address that is not aligned to 16 bytes"),
        ("outside_shared", "index 64 is outside the shared array values of 64"),
        ("misaligned_vector", "not aligned to 16 bytes"),
        ("race_of_writers", "race: the thread writes"),
        ("race_read_after_write", "race: the thread reads"),
        ("race_write_after_read", "race: the thread writes"),
        ("race_across_warps", "race: the thread"),
    ],
)
def test_wrong_kernel_is_refused(emulation, kernel, complaint):
    with pytest.raises(RuntimeError, match=complaint) as error:
        emulation.run_test_kernel(kernel)
    assert "block (0, 0, 0) thread" in str(error.value)


def test_a_refused_kernel_leaves_the_emulation_usable(emulation):
    with pytest.raises(RuntimeError):
        emulation.run_test_kernel("barrier_in_branch")
    assert np.isfinite(emulation.run_test_kernel("right")).all()
