"""How often, and how much at once."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import FakeClock

from ghostlive.access.limits import Seldom, Throttle, TooBusyError, Turns, network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_an_ipv6_subscriber_is_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


@given(st.ip_addresses(v=6), st.integers(min_value=0, max_value=2**64 - 1))
def test_no_address_of_a_network_is_another_one(address: object, host: int) -> None:
    network = int(address) >> 64 << 64  # type: ignore[call-overload]
    first, other = IPv6Address(network), IPv6Address(network | host)
    if other.ipv4_mapped is None and first.ipv4_mapped is None:
        assert network_of(str(first)) == network_of(str(other))


def test_a_burst_and_then_one_at_a_time(clock: FakeClock) -> None:
    throttle = Throttle(clock, burst=3, period=10)
    for _ in range(3):
        assert throttle.wait("a") == 0
        throttle.spend("a")
    assert throttle.wait("a") == pytest.approx(10)
    assert throttle.wait("b") == 0
    clock.advance(10)
    assert throttle.wait("a") == 0
    throttle.spend("a")
    assert throttle.wait("a") == pytest.approx(10)
    clock.advance(1000)
    for _ in range(3):
        assert throttle.wait("a") == 0
        throttle.spend("a")
    assert throttle.wait("a") > 0


def test_what_is_taken_back_does_not_count(clock: FakeClock) -> None:
    throttle = Throttle(clock, burst=1, period=10)
    throttle.refund("a")
    throttle.spend("a")
    throttle.refund("a")
    assert throttle.wait("a") == 0


def test_keys_of_strangers_do_not_pile_up_and_push_nobody_out_of_debt(clock: FakeClock) -> None:
    throttle = Throttle(clock, burst=2, period=10, max_keys=100)
    for _ in range(50):
        throttle.spend("under attack")
    for number in range(1000):
        throttle.spend(str(number))
    assert len(throttle) <= 100
    assert throttle.wait("under attack") > 400


@given(st.lists(st.floats(min_value=0, max_value=100), max_size=60))
def test_never_more_than_the_burst_and_the_rate(pauses: list[float]) -> None:
    clock = FakeClock()
    throttle = Throttle(clock, burst=5, period=10)
    allowed = 0
    for pause in pauses:
        clock.advance(pause)
        if throttle.wait("a") == 0:
            throttle.spend("a")
            allowed += 1
    assert allowed <= 5 + sum(pauses) / 10


def test_one_line_of_many(clock: FakeClock) -> None:
    seldom = Seldom(clock, every=10)
    assert [seldom.due() for _ in range(4)] == [0, None, None, None]
    clock.advance(10)
    assert seldom.due() == 3


class Work:
    """Work that lasts until it is let go; counts how much of it runs at once."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.running = 0
        self.most = 0
        self.order: list[str] = []

    def task(self, name: str) -> str:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            self.order.append(name)
        self.go.acquire()
        with self.lock:
            self.running -= 1
        return name


async def _until(condition: object) -> None:
    while not condition():  # type: ignore[operator]
        await asyncio.sleep(0.001)


async def test_two_at_once_and_the_known_first() -> None:
    work, turns = Work(), Turns(at_once=2)
    tasks = [asyncio.ensure_future(turns.run(lambda n=n: work.task(n))) for n in ("a", "b", "c", "d")]  # type: ignore[misc]
    await asyncio.sleep(0)
    tasks.append(asyncio.ensure_future(turns.run(lambda: work.task("known"), first=True)))
    await _until(lambda: len(work.order) == 2)
    work.go.release()
    await _until(lambda: len(work.order) == 3)
    assert work.order[2] == "known"
    work.go.release(10)
    assert await asyncio.gather(*tasks) == ["a", "b", "c", "d", "known"]
    assert work.most == 2


async def test_a_full_queue_says_so_and_has_room_for_the_known() -> None:
    work, turns = Work(), Turns(at_once=1, waiting=2)
    tasks = [asyncio.ensure_future(turns.run(lambda: work.task("x"))) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TooBusyError, match="try again"):
        await turns.run(lambda: work.task("x"))
    tasks.append(asyncio.ensure_future(turns.run(lambda: work.task("known"), first=True)))
    work.go.release(10)
    assert await asyncio.gather(*tasks) == ["x", "x", "x", "known"]


async def test_who_leaves_gives_the_turn_on_but_not_before_the_work_ends() -> None:
    work, turns = Work(), Turns(at_once=1)
    first = asyncio.ensure_future(turns.run(lambda: work.task("first")))
    await _until(lambda: work.order)
    waiting = asyncio.ensure_future(turns.run(lambda: work.task("gone")))
    last = asyncio.ensure_future(turns.run(lambda: work.task("last")))
    await asyncio.sleep(0)
    first.cancel()
    waiting.cancel()
    await asyncio.wait([first, waiting])
    assert work.order == ["first"]
    work.go.release(2)
    assert await last == "last"
    assert (work.order, work.most) == (["first", "last"], 1)


async def test_a_turn_that_comes_in_the_moment_of_leaving_is_not_lost() -> None:
    work, turns = Work(), Turns(at_once=1)
    first = asyncio.ensure_future(turns.run(lambda: work.task("first")))
    await _until(lambda: work.order)
    waiting = asyncio.ensure_future(turns.run(lambda: work.task("gone")))
    await asyncio.sleep(0)
    turns._leave()  # as the end of the first would
    turns._running += 1
    waiting.cancel()
    await asyncio.wait([waiting])
    work.go.release(2)
    await first
    assert await turns.run(lambda: "free") == "free"


async def test_the_work_gives_way_to_everything_else() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    # Nothing is nicer than 19, which the tests themselves may be.
    assert await Turns().run(niceness) == min(niceness() + 10, 19)


def test_a_loop_that_ends_before_the_work_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    work = Work()

    async def leave() -> ThreadPoolExecutor:
        turns = Turns(at_once=1)
        task = asyncio.ensure_future(turns.run(lambda: work.task("late")))
        await _until(lambda: work.order)
        task.cancel()
        return turns._threads

    threads = asyncio.run(leave())
    work.go.release()
    threads.shutdown()
    assert caplog.text == ""


async def test_work_that_fails_gives_its_turn_back() -> None:
    turns = Turns(at_once=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await turns.run(lambda: 1 // 0)
    assert await turns.run(lambda: 1) == 1
