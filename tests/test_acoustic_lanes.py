"""Passes side by side: one thread each, in order, and nothing else on the machine notices."""

import threading
import time

import pytest
import torch
from torch import nn

from asrdemo.acoustic import lanes
from asrdemo.acoustic.lanes import Here, Lanes, lanes_for

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def two() -> Lanes:
    before = torch.get_num_threads()
    made = Lanes(2)
    torch.set_num_threads(before)
    return made


def test_each_lane_has_one_thread_and_lanes_run_together(two: Lanes) -> None:
    meeting = threading.Barrier(2)

    def work(number: int) -> tuple[int, int]:
        meeting.wait(20)  # passes only while both run at once
        return number, torch.get_num_threads()

    assert list(two.map(work, range(6))) == [(number, 1) for number in range(6)]


def test_threads_that_come_later_keep_all_cores() -> None:
    before = torch.get_num_threads()
    Lanes(3)
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [3] == [torch.get_num_threads()]
    torch.set_num_threads(before)


def test_what_has_not_begun_is_dropped_when_the_caller_stops(two: Lanes) -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.01)
        return number

    results = two.map(work, range(500))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert len(begun) < 100


def test_an_error_reaches_the_caller_and_the_lane_goes_on(two: Lanes) -> None:
    with pytest.raises(ZeroDivisionError):
        list(two.map(lambda n: 1 // n, [1, 0, 1]))
    assert list(two.map(lambda n: 1 // n, [1, 1])) == [1, 1]


def test_only_small_models_on_a_cpu_get_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    small = nn.Linear(10, 10)
    assert isinstance(lanes_for(small, CPU), Lanes) and lanes_for(small, CPU) is lanes_for(nn.Linear(3, 3), CPU)
    assert isinstance(lanes_for(small, torch.device("cuda")), Here)
    monkeypatch.setattr(lanes, "SMALL", 100)
    assert isinstance(lanes_for(small, CPU), Here)
