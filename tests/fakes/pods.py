"""Pods that answer the operator as a script says, without a socket."""

# ruff: noqa: ARG002, ASYNC109 - the real one needs its arguments

import asyncio
from collections import defaultdict
from typing import Any

from modelroute.controller.asking.client import Answer, Pods, UnansweredError

Say = Answer | Exception | asyncio.Event | None
OK = Answer(200, b"", 0.003)
ANSWER = Answer(200, b'{"choices":[{"message":{"content":"pong"}}]}', 0.31)
NOT_FOUND = Answer(404, b'{"detail":"Not Found"}', 0.001)
FAILS = Answer(500, b'{"error":{"message":"boom"}}', 0.1)
DEAD = UnansweredError("the connection is refused")


class FakePods(Pods):
    """What is said by path, used up one a request, the last one for ever; an Event is waited for before an answer."""

    def __init__(self, **says: Say | list[Say]) -> None:
        usual: dict[str, Say | list[Say]] = {"health": OK, "chat": ANSWER, "sleep": OK, "wake": OK}
        self.says = {name: list(say) if isinstance(say, list) else [say] for name, say in (usual | says).items()}
        self.asked: list[str] = []
        self.bodies: list[Any] = []
        self.under_way: defaultdict[str, int] = defaultdict(int)
        self.most_at_once = self.most_of_one = 0

    async def get(self, url: str, timeout: float) -> Answer:
        return await self._say(url, None)

    async def post(self, url: str, body: object, timeout: float) -> Answer:
        return await self._say(url, body)

    async def close(self) -> None:
        pass

    async def _say(self, url: str, body: object) -> Answer:
        host, _, path = url.removeprefix("http://").partition("/")
        self.asked.append(f"{host} /{path}")
        self.bodies.append(body)
        self.under_way[host] += 1
        self.most_at_once = max(self.most_at_once, sum(self.under_way.values()))
        self.most_of_one = max(self.most_of_one, self.under_way[host])
        try:
            await asyncio.sleep(0)
            return await self._next(path)
        finally:
            self.under_way[host] -= 1

    async def _next(self, path: str) -> Answer:
        script = self.says.get(next((name for name in self.says if name in path), ""), [NOT_FOUND])
        say = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(say, Exception):
            raise say
        if isinstance(say, asyncio.Event):
            await say.wait()
            return ANSWER
        return say or NOT_FOUND
