"""Clients that keep asking one router, so that a test can change something meanwhile and see that nothing was lost."""

import threading
import time
from collections import Counter
from typing import Self

import httpx

QUESTION = {"model": "chat", "messages": [{"role": "user", "content": "What is a router?"}], "max_tokens": 8}


class Load:
    """``workers`` threads, each asking the next question when the last is answered; half of them read streams."""

    def __init__(self, url: str, workers: int) -> None:
        self.url = url
        self.answered: Counter[str] = Counter()  # by backend
        self.lost: list[str] = []
        self.slowest = 0.0  # seconds
        self._stop = threading.Event()
        self._progress = threading.Condition()
        self._threads = [threading.Thread(target=self._ask, args=(i % 2 == 1,)) for i in range(workers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int, seconds: float = 60) -> None:
        """Wait until ``count`` further requests have ended."""
        with self._progress:
            goal = self.total + count
            assert self._progress.wait_for(lambda: self.total >= goal, seconds), f"{self.total} of {goal} answered"

    @property
    def total(self) -> int:
        return sum(self.answered.values()) + len(self.lost)

    def _ask(self, stream: bool) -> None:
        with httpx.Client(timeout=60) as client:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    answer = client.post(self.url, json=QUESTION | {"stream": stream})
                    complete = answer.status_code == 200 and (not stream or answer.text.endswith("data: [DONE]\n\n"))
                    problem = None if complete else f"{answer.status_code} {answer.text[-300:]}"
                except httpx.HTTPError as error:
                    problem = repr(error)
                with self._progress:
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    if problem is None:
                        self.answered[answer.headers["x-modelroute-backend"]] += 1
                    else:
                        self.lost.append(problem)
                    self._progress.notify_all()
