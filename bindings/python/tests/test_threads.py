"""Threads, processes, Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import layout

import nckit
from nckit import State

pytestmark = pytest.mark.filterwarnings("default::nckit.RemarkWarning", "ignore:.*fork.*:DeprecationWarning")


def test_many_threads_update_one_state(rows: Any) -> None:
    features, labels = rows
    whole = State(grid=-18)
    whole.update(features, labels)
    state = State(grid=-18)

    def work(start: int) -> None:
        for at in range(start, len(labels), 800):
            state.update(features[at : at + 100], labels[at : at + 100])
            if at % 1600 == 0:
                state.statistics(), state.copy(), state.rows
            with pytest.raises(nckit.DataError):
                state.update(features[:1], [-1])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(0, 800, 100)))
    assert state == whole


def test_other_threads_go_on_during_an_update() -> None:
    state, ticks, done = State(), [], threading.Event()
    features = np.random.default_rng(0).normal(size=(40_000, 256)).astype(np.float32)

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.002)

    clock = threading.Thread(target=tick)
    clock.start()
    before = time.monotonic()
    state.update(features, np.arange(40_000) % 10)
    took = time.monotonic() - before
    done.set()
    clock.join()
    assert max(np.diff(ticks)) < max(0.2, took / 4)


def _in_child(state: State, batch: Any, queue: Any) -> None:
    state.update(*batch)
    queue.put((state.to_bytes(), nckit.finish(state)["nc1_pinv"]))


@pytest.mark.parametrize("dim", [16, 600])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_states_work_in_child_processes(method: str, dim: int, digits: Path) -> None:
    # Matrices of more than 256 columns are made by several threads.
    features, labels = layout(np.random.default_rng(1), 2000, dim, 5)
    state = State(grid=-18)
    state.update(features[:1000], labels[:1000])
    # Threads of the parent are gone in the child.
    state.finish()
    nckit.measure(digits / "flat" / "h3_final.parquet", where="split=train", metrics="nc1")
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(state, (features[1000:], labels[1000:]), queue))
    child.start()
    encoded, value = queue.get(timeout=60)
    child.join(60)
    state.update(features[1000:], labels[1000:])
    assert State.from_bytes(encoded) == state
    assert value == state.finish()["nc1_pinv"]


def test_a_state_that_was_in_use_at_a_fork_says_so() -> None:
    state, begun = State(), threading.Event()
    features = np.random.default_rng(0).normal(size=(60_000, 512)).astype(np.float32)

    def work() -> None:
        begun.set()
        state.update(features, np.arange(60_000) % 10)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    time.sleep(0.3)
    assert thread.is_alive()
    child = os.fork()
    if child == 0:
        try:
            state.update(features[:1], [0])
        except nckit.ResourceError:
            os._exit(7)
        os._exit(1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert state.rows == 60_000


def interrupted(code: str, *words: object) -> tuple[float, str]:
    """Run a program that says when it has begun, interrupt it, and return how long it went on, and what it printed."""
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, words)], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "begun\n"
    time.sleep(0.5)
    program.send_signal(signal.SIGINT)
    before = time.monotonic()
    line = program.stdout.readline()
    took = time.monotonic() - before
    program.communicate(timeout=60)
    return took, line.strip()


def test_ctrl_c_ends_an_update_and_the_state_is_valid() -> None:
    took, line = interrupted(
        """
        import numpy as np, nckit
        features = np.random.default_rng(0).normal(size=(200_000, 1024)).astype(np.float32)
        labels = np.arange(200_000) % 10
        state = nckit.State()
        print("begun", flush=True)
        try:
            state.update(features, labels)
        except KeyboardInterrupt:
            rows = state.rows
            print("interrupted", 0 < rows < 200_000, rows, flush=True)
            other = nckit.State()
            other.update(features[:rows], labels[:rows])
            assert other == state
        """
    )
    assert line.startswith("interrupted True")
    # A piece takes longer where tests run without optimisation, and beside other work.
    assert took < 10.0


def test_ctrl_c_ends_a_run(tmp_path: Path) -> None:
    features, labels = layout(np.random.default_rng(0), 400_000, 128, 10)
    np.save(tmp_path / "x.npy", features)
    np.save(tmp_path / "y.npy", labels)
    took, line = interrupted(
        """
        import sys, nckit
        print("begun", flush=True)
        try:
            while True:
                nckit.measure(sys.argv[1], labels=sys.argv[2], threads=1)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
        tmp_path / "x.npy",
        tmp_path / "y.npy",
    )
    assert line == "interrupted"
    assert took < 1.5


def test_exceptions_and_their_facts_survive_pickling() -> None:
    with pytest.raises(nckit.DataError) as caught:
        State().update(np.full((1, 2), np.nan), [0])
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is nckit.DataError
    assert (str(again), again.facts, again.help) == (str(caught.value), caught.value.facts, caught.value.help)
