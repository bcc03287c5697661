"""The part of a model server that has no model: slots, a queue, sleep, and what SIGTERM does to all of them.

`api` admits a request and reads its tokens; `server` tells the engine to drain and to stop. An engine belongs to one
event loop and takes its clock from it. It never writes to a socket.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from math import ceil
from typing import Literal

from vllm_standin import errors
from vllm_standin.metrics import Metrics
from vllm_standin.settings import Settings

Finish = Literal["stop", "length"]


class Flight:
    """One admitted request. Its owner reads `tokens` and always calls `close`, also when the client went away."""

    def __init__(self, engine: "Engine", prompt_tokens: int, answer: Sequence[str], finish: Finish) -> None:
        self.prompt_tokens = prompt_tokens
        self.answer = answer
        self.finish: Finish = finish
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.made = 0
        self._engine = engine

    async def tokens(self) -> AsyncIterator[str]:
        """The answer's tokens at the engine's pace; hangs without an end once the engine is dead."""
        engine, metrics, settings = self._engine, self._engine.metrics, self._engine.settings
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        await engine.turn(self)
        granted = loop.time()
        metrics.observe("request_queue_time_seconds", granted - arrived)
        metrics.prompt_tokens += self.prompt_tokens
        due = granted + settings.first_token + engine.settling()
        last = arrived
        for token in self.answer:
            await asyncio.sleep(max(0.0, due - loop.time()))
            await engine.alive()
            now = loop.time()
            metrics.observe("inter_token_latency_seconds" if self.made else "time_to_first_token_seconds", now - last)
            metrics.generation_tokens += 1
            self.made += 1
            last = now
            due += settings.inter_token
            if self.made == len(self.answer):
                metrics.observe("e2e_request_latency_seconds", now - arrived)
            yield token

    def close(self) -> None:
        """Give the slot back; what was not finished counts as aborted. May be called again."""
        self._engine.release(self)


class Engine:
    """Admits requests into `max_num_seqs` slots, first come first served."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(settings.name, settings.max_model_len)
        self.sleep_level = 0
        self._flights: set[Flight] = set()
        self._running: set[Flight] = set()
        self._waiting: dict[Flight, None] = {}
        self._awake = asyncio.Event()
        self._awake.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._dead = False
        self._settled = False

    async def admit(self, prompt_tokens: int, answer: Sequence[str], finish: Finish) -> Flight:
        """Take a request in, or raise the ApiError of a full or stopping server; returns once the engine is awake."""
        self.check_open()
        limit = self.settings.max_num_queued_reqs
        if limit is not None and len(self._flights) >= limit:
            self.metrics.rejected += 1
            raise errors.busy()
        flight = Flight(self, prompt_tokens, answer, finish)
        self._flights.add(flight)
        self._idle.clear()
        try:
            await self._awake.wait()
        except asyncio.CancelledError:
            self.release(flight)
            raise
        return flight

    def check_open(self) -> None:
        """Raise the ApiError of a server that was told to stop."""
        if self._draining:
            raise errors.draining()

    async def turn(self, flight: Flight) -> None:
        """Wait until a slot is free."""
        self._waiting[flight] = None
        self._grant()
        await flight.turn

    async def alive(self) -> None:
        """Return at once, or never when the engine was killed: as with the real server, nobody tells the client."""
        if self._dead:
            await asyncio.get_running_loop().create_future()

    def settling(self) -> float:
        """Seconds that the next answer takes longer for being the first since the start; 0 from the second on."""
        first, self._settled = not self._settled, True
        return self.settings.first_request if first else 0.0

    def release(self, flight: Flight) -> None:
        """Forget a request and let the next one in."""
        if flight not in self._flights:
            return
        self._flights.remove(flight)
        self._running.discard(flight)
        self._waiting.pop(flight, None)
        done = flight.made == len(flight.answer)
        self.metrics.finished[flight.finish if done else "abort"] += 1
        if done:
            self.metrics.observe("request_prompt_tokens", flight.prompt_tokens)
            self.metrics.observe("request_generation_tokens", flight.made)
        if not self._flights:
            self._idle.set()
        self._grant()

    def sleep(self, level: int) -> None:
        """Serve no new request until `wake`; those already running go on."""
        self.sleep_level = level
        self._awake.clear()

    async def wake(self) -> None:
        """Serve again, first what was asked for meanwhile; one that is awake is so at once."""
        if self.sleep_level:
            await asyncio.sleep(self.settings.wake_up)
        self.sleep_level = 0
        self._awake.set()

    async def drain(self, seconds: float) -> None:
        """Refuse new requests and wait up to so many seconds for those taken in."""
        self._draining = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)

    def kill(self) -> None:
        """Refuse new requests and let those taken in hang."""
        self._draining = self._dead = True

    def in_flight(self) -> int:
        """How many requests are taken in, waiting and sleeping ones included."""
        return len(self._flights)

    def gauges(self) -> dict[str, float]:
        """The present numbers by metric name."""
        size = self.settings.block_size
        blocks = sum(ceil((f.prompt_tokens + f.made) / size) for f in self._running)
        return {
            "num_requests_running": len(self._running),
            "num_requests_waiting": len(self._waiting),
            "kv_cache_usage_perc": min(1.0, blocks / self.settings.num_gpu_blocks),
        }

    def _grant(self) -> None:
        while self._waiting and len(self._running) < self.settings.max_num_seqs and not self._dead:
            flight = next(iter(self._waiting))
            del self._waiting[flight]
            self._running.add(flight)
            if not flight.turn.done():
                flight.turn.set_result(None)
