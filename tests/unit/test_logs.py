"""A stream that neither blocks nor fails: whole lines, and how many are missing."""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest
import structlog

from bot import logs


class Pipe:
    """A pipe, its writing end behind the stream under test."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.stream = logs.Unblocking(self.write_end)

    def fill(self) -> int:
        """Write lines until no more are taken; how many were."""
        count = 0
        while not self.stream._lost:
            print("x" * 99, file=self.stream, flush=True)
            count += 1
        return count - 1

    def drain(self) -> str:
        os.set_blocking(self.read_end, False)
        pieces = []
        try:
            while piece := os.read(self.read_end, 65536):
                pieces.append(piece)
        except BlockingIOError:
            pass
        return b"".join(pieces).decode()

    def close(self) -> None:
        for end in (self.read_end, self.write_end):
            os.close(end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_what_is_taken_is_written_at_once_in_whole_lines(pipe: Pipe) -> None:
    pipe.stream.write("half of ")
    assert pipe.drain() == ""
    pipe.stream.write("a line\n")
    assert pipe.drain() == "half of a line\n"


def test_lines_that_are_not_taken_are_counted_and_the_count_comes_first(pipe: Pipe) -> None:
    pipe.fill()
    for _ in range(41):
        print("unheard", file=pipe.stream)
    pipe.drain()
    print("heard", file=pipe.stream)
    assert pipe.drain() == "log_lost lines=42\nheard\n"
    print("and on", file=pipe.stream)
    assert pipe.drain() == "and on\n"


def test_a_stuck_reader_is_waited_for_once_and_not_for_each_line(pipe: Pipe) -> None:
    pipe.fill()
    began = time.monotonic()
    for _ in range(1000):
        print("unheard", file=pipe.stream)
    assert time.monotonic() - began < 1


def test_a_reader_that_is_merely_slow_loses_nothing(pipe: Pipe) -> None:
    filled = pipe.fill()
    pipe.drain()
    said: list[str] = []

    def read_slowly() -> None:
        for _ in range(20):
            time.sleep(0.01)
            said.append(pipe.drain())

    print("again", file=pipe.stream)
    reader = threading.Thread(target=read_slowly)
    reader.start()
    for _ in range(filled * 2):
        print("y" * 99, file=pipe.stream)
    reader.join()
    told = "".join([*said, pipe.drain()])
    assert told.count("y" * 99 + "\n") == filled * 2


def test_a_line_that_was_broken_off_does_not_swallow_the_next(pipe: Pipe) -> None:
    print("z" * 200_000, file=pipe.stream)
    pipe.drain()
    print("next", file=pipe.stream)
    assert pipe.drain() == "\nlog_lost lines=1\nnext\n"


def test_a_reader_that_died_raises_nothing() -> None:
    pipe = Pipe()
    os.close(pipe.read_end)
    for _ in range(10):
        print("unheard", file=pipe.stream, flush=True)
    assert pipe.stream._lost == 10
    os.close(pipe.write_end)
    print("not even a descriptor", file=pipe.stream, flush=True)


def test_lines_of_many_threads_stay_whole(pipe: Pipe) -> None:
    threads = [
        threading.Thread(
            target=lambda n=n: [print(f"{n}" * 50, file=pipe.stream) for _ in range(20)]
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = pipe.drain().splitlines()
    assert len(lines) == 160
    assert all(len(set(line)) == 1 and len(line) == 50 for line in lines)


def test_programs_are_told_what_is_missing_in_json(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", pipe.stream)
    monkeypatch.setattr(logging.root, "handlers", [])
    try:
        logs.configure("info", as_json=True)
        pipe.fill()
        pipe.drain()
        structlog.get_logger().info("again")
    finally:
        structlog.reset_defaults()
        logging.root.setLevel(logging.WARNING)
    told = [json.loads(line) for line in pipe.drain().splitlines()]
    assert [line["event"] for line in told] == ["log_lost", "again"]
    assert told[0]["lines"] == 1
