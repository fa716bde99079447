"""What is asked for at once is done at once."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from bridge.support.batching import Batcher


def run(main):
    return asyncio.run(main)


class Work:
    """Answers with the double; notes its batches."""

    def __init__(self):
        self.batches = []

    async def __call__(self, asked):
        self.batches.append(list(asked))
        await asyncio.sleep(0)
        return [ValueError(f"{each} is odd") if each % 2 else 2 * each for each in asked]


def test_requests_that_arrive_meanwhile_make_the_next_batch():
    work = Work()

    async def main():
        batcher = Batcher(work, most=3)
        first = asyncio.create_task(batcher(0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # its batch is on
        return await asyncio.gather(first, *(batcher(2 * n) for n in range(1, 5)))

    assert run(main()) == [0, 4, 8, 12, 16]
    assert work.batches == [[0], [2, 4, 6], [8]]


def test_one_request_alone_does_not_wait():
    work = Work()
    assert run(Batcher(work, most=3)(4)) == 8


def test_each_request_gets_its_own_failure():
    async def main():
        batcher = Batcher(Work(), most=9)
        return await asyncio.gather(*map(batcher, (2, 3, 4)), return_exceptions=True)

    two, three, four = run(main())
    assert (two, four) == (4, 8)
    assert isinstance(three, ValueError)


def test_a_batch_that_fails_fails_for_all_its_callers_and_the_next_is_done():
    fails = [True]

    async def work(asked):
        if fails.pop() if fails else False:
            raise OSError("gone")
        return asked

    async def main():
        batcher = Batcher(work, most=9)
        failed = await asyncio.gather(batcher(1), batcher(2), return_exceptions=True)
        return failed, await batcher(3)

    failed, after = run(main())
    assert [type(each) for each in failed] == [OSError, OSError]
    assert after == 3


def test_a_caller_that_is_cancelled_takes_nothing_from_the_others():
    gate = []

    async def work(asked):
        await gate[0].wait()
        return asked

    async def main():
        gate.append(asyncio.Event())
        batcher = Batcher(work, most=9)
        one, two = asyncio.create_task(batcher(1)), asyncio.create_task(batcher(2))
        await asyncio.sleep(0.01)
        one.cancel()
        gate[0].set()
        with pytest.raises(asyncio.CancelledError):
            await one
        return await two, await batcher(3)

    assert run(main()) == (2, 3)


def test_an_end_of_the_loops_tasks_leaves_no_caller_waiting():
    """As when a process ends: all tasks are cancelled, the batcher's own among them."""

    async def main():
        batcher = Batcher(lambda asked: asyncio.sleep(60), most=1)
        asking = [asyncio.create_task(batcher(n)) for n in range(3)]
        await asyncio.sleep(0.01)
        (own,) = asyncio.all_tasks() - {asyncio.current_task(), *asking}
        own.cancel()
        done, pending = await asyncio.wait(asking, timeout=5)
        assert not pending
        return [task.cancelled() for task in done]

    assert run(main()) == [True] * 3


class TestApart:
    """Batches of several keep their distance, or all do; after a pause none waits."""

    APART_S = 0.05

    def begins(self, *pauses_s, always):
        begins = []

        async def work(asked):
            begins.append(time.monotonic())
            return asked

        async def main():
            batcher = Batcher(work, most=9, apart_s=self.APART_S, always=always)
            asked_at = []
            for pause_s in pauses_s:
                await asyncio.sleep(pause_s)
                asked_at.append(time.monotonic())
                await batcher(1)
            return asked_at

        return run(main()), begins

    def test_with_always_a_request_that_comes_soon_waits(self):
        _, begins = self.begins(0, 0, 0, always=True)
        gaps = [later - earlier for earlier, later in pairwise(begins)]
        assert min(gaps) >= self.APART_S

    def test_without_always_requests_one_after_the_other_never_wait(self):
        asked, begins = self.begins(0, 0, 0, 0, always=False)
        assert begins[-1] - asked[0] < self.APART_S

    @pytest.mark.parametrize("always", [True, False])
    def test_a_request_after_a_pause_is_done_at_once(self, always):
        asked, begins = self.begins(0, 2 * self.APART_S, always=always)
        assert begins[1] - asked[1] < self.APART_S / 2

    @pytest.mark.parametrize("always", [True, False])
    def test_after_several_requests_the_next_wait_and_are_done_together(self, always):
        work = Work()

        async def main():
            batcher = Batcher(work, most=9, apart_s=self.APART_S, always=always)
            began = time.monotonic()
            await asyncio.gather(batcher(0), batcher(2))
            third = asyncio.create_task(batcher(4))
            await asyncio.sleep(self.APART_S / 5)
            answers = await asyncio.gather(third, batcher(6))
            return answers, time.monotonic() - began

        answers, lasted_s = run(main())
        assert answers == [8, 12]
        assert work.batches == [[0, 2], [4, 6]]
        assert lasted_s >= self.APART_S
