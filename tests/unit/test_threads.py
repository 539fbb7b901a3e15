"""Work shared out among threads."""

import os
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from smcatalog.core.threads import beside, spread, thread_count


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_the_number_of_threads_is_the_environments(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert thread_count() == 3
    for nonsense in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        assert thread_count() == len(os.sched_getaffinity(0))


def test_parts_are_done_by_several_at_once_and_come_back_in_order(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    together = threading.Barrier(3, timeout=30)  # broken unless three are there at the same time

    def work(number: int, other: int) -> tuple[int, str]:
        together.wait()
        return number * other, threading.current_thread().name

    found = spread(work, [(number, 2) for number in range(6)])
    assert [one for one, _ in found] == [0, 2, 4, 6, 8, 10]
    assert len({name for _, name in found}) == 3
    assert not [one for one in threading.enumerate() if one.name.startswith("spread")]


def test_work_that_is_shared_out_shares_nothing_out_again(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = blas_threads()

    def work(_: int) -> tuple[int, set[int], set[str]]:
        names = spread(lambda _: threading.current_thread().name, [(i,) for i in range(4)])
        return thread_count(), blas_threads(), set(names)

    for count, blas, names in spread(work, [(0,), (1,)]):
        assert count == 1
        assert blas == {1}
        assert len(names) == 1
    assert thread_count() == 2
    assert blas_threads() == before


def test_one_part_is_done_by_whoever_asks_and_may_use_all_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    here = threading.current_thread()
    asked = [(threading.current_thread() is here, thread_count())]
    assert spread(lambda: (threading.current_thread() is here, thread_count()), [()]) == asked
    assert asked == [(True, 2)]
    assert spread(np.sin, []) == []


def test_work_beside_shares_nothing_out(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")

    def work() -> tuple[int, list[bool]]:
        here = threading.current_thread()
        return thread_count(), spread(lambda _: threading.current_thread() is here, [(0,), (1,)])

    with beside() as pool:
        assert pool.submit(work).result() == (1, [True, True])
    assert thread_count() == 2


def test_an_error_goes_up_and_what_was_not_begun_is_not_done(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    done, failed = [], threading.Event()

    def work(number: int) -> None:
        if number == 0:
            failed.set()
            raise ValueError("no more")
        failed.wait(30)
        threading.Event().wait(0.05)
        done.append(number)

    with pytest.raises(ValueError, match="no more"):
        spread(work, [(number,) for number in range(40)])
    assert len(done) < 30
