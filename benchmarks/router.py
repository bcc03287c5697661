"""`./dev bench router`: what this router costs beside nginx and vllm-router, in one run, each on one core.

The proxies take turns on one core; the upstream and the clients share another. CPU is what the kernel counted for all
of a proxy's processes while a known number of requests or chunks went through. Never leaves loopback.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping

from benchmarks import clients, command, installed, machine, verdict
from benchmarks.proxies import OPTIONAL, PROXIES, MissingError, Proxy, free_port, running
from benchmarks.upstream import ADDRESSES, CHUNK_EVERY, CHUNKS, Seen, Upstream

CONNECTIONS = 32
STREAMS = 100
ALONE_S, UNARY_S = 1.0, 2.0
FIGURES = {
    "request_us": "CPU µs a request",
    "chunk_us": "CPU µs a chunk",
    "alone_p50_ms": "p50 alone, ms",
    "rss_mb": "RSS, MB",
}
FAIR = {
    "opened_per_1000": "connections opened to the upstream per 1,000 requests",
    "upstream_bytes": "bytes of a request at the upstream",
}
RATIOS = (("modelroute", "nginx"), ("vllm-router", "modelroute"), ("vllm-router-rr", "modelroute"))
"""The first over the second: how many times nginx's price is ours, and how many times ours is vllm-router's.

The goals go by vllm-router as it comes, which looks at the prompt to choose a replica, as ours does here; beside it
stands the one that takes the next in turn, which is cheaper.
"""
WIDE = 28
"""Of the table's first column."""

Samples = dict[str, dict[str, list[float]]]


async def measure(name: str, port: int, pid: int | None, samples: Samples, seen: Seen) -> None:
    """One turn of one proxy, or with no ``pid`` of the upstream itself: its figures go to ``samples[name]``."""

    def spent() -> float:
        return machine.family_cpu_seconds(pid) if pid else 0.0

    mine = samples[name]
    alone = await clients.unary(port, 1, ALONE_S, spent)
    mine["alone_p50_ms"].append(machine.percentile(alone.seconds, 0.5) * 1e3)
    before = seen.connections, seen.requests, seen.bytes
    busy = await clients.unary(port, CONNECTIONS, UNARY_S, spent)
    opened, requests, size = seen.connections - before[0], seen.requests - before[1], seen.bytes - before[2]
    mine["opened_per_1000"].append(opened / requests * 1000)
    mine["upstream_bytes"].append(size / requests)
    mine["requests_per_s"].append(busy.work / busy.wall_s)
    mine["load_busy"].append(busy.load_cpu_s / busy.wall_s)
    mine["load_request_us"].append(busy.load_cpu_s / busy.work * 1e6)
    if pid:
        mine["request_us"].append(busy.cpu_s / busy.work * 1e6)
        mine["proxy_busy"].append(busy.cpu_s / busy.wall_s)
        streamed = await clients.streams(port, STREAMS, spent)
        mine["chunk_us"].append(streamed.cpu_s / streamed.work * 1e6)
        mine["chunks_per_s"].append(streamed.work / streamed.wall_s)
        mine["load_busy_streaming"].append(streamed.load_cpu_s / streamed.wall_s)
        mine["rss_mb"].append(machine.family_rss_mb(pid))


async def compare(rounds: int, core: int) -> Samples:
    """Start every proxy that is here on ``core``, and let them take turns, ``rounds`` times."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    loop = asyncio.get_running_loop()
    seen = Seen()
    upstream = free_port()
    server = await loop.create_server(lambda: Upstream(seen), ADDRESSES, upstream, backlog=1024)
    async with contextlib.AsyncExitStack() as stack:
        directory = await stack.enter_async_context(command.directory())
        proxies: list[Proxy] = []
        for name in PROXIES:
            try:
                proxies.append(await stack.enter_async_context(running(name, directory / name, upstream, core)))
            except MissingError as error:
                if name not in OPTIONAL:
                    raise
                print(f"without {name}; {error}", file=sys.stderr)
        for turn in range(rounds):
            print(f"round {turn + 1} of {rounds}", file=sys.stderr)
            await measure("direct", upstream, None, samples, seen)
            for proxy in proxies:
                await measure(proxy.name, proxy.port, proxy.pid, samples, seen)
    server.close()
    return samples


def ratios(middle: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """By "one / other", each figure of one over the other's; only of proxies that ran."""
    return {
        f"{one} / {other}": {f: middle[one][f] / middle[other][f] for f in FIGURES}
        for one, other in RATIOS
        if one in middle and other in middle
    }


def goals(middle: Mapping[str, Mapping[str, float]]) -> list[verdict.Row]:
    """What the project promises of these figures."""
    ours = middle["modelroute"]
    rows = [
        verdict.Row("CPU a request", ours["request_us"], "µs", 100),
        verdict.Row("CPU a chunk", ours["chunk_us"], "µs", 50),
        verdict.Row("request, ours / nginx", ours["request_us"] / middle["nginx"]["request_us"], "", 2.5),
    ]
    if "vllm-router" in middle:
        theirs = middle["vllm-router"]
        rows += [
            verdict.Row("request, vllm-router / ours", theirs["request_us"] / ours["request_us"], "", 1.5, least=True),
            verdict.Row("chunk, vllm-router / ours", theirs["chunk_us"] / ours["chunk_us"], "", 1.0, least=True),
        ]
    return rows


def medians(samples: Samples) -> dict[str, dict[str, float]]:
    """The middle of each figure's samples, by proxy."""
    return {name: {f: statistics.median(v) for f, v in figures.items() if v} for name, figures in samples.items()}


def report(samples: Samples, facts: Mapping[str, str | int]) -> dict[str, object]:
    """The object that --json prints: medians by proxy, ratios, goals, and min to max of every figure."""
    middle = medians(samples)
    proxies = {name: {f: round(m[f], 4) for f in FIGURES} for name, m in middle.items() if name != "direct"}
    beside = {n: {f: round(m[f], 4) for f in m if f not in FIGURES} for n, m in middle.items() if n != "direct"}
    return {
        **proxies,
        "ratio": {pair: {f: round(v, 3) for f, v in by.items()} for pair, by in ratios(middle).items()},
        "range": {
            n: {f: [round(min(s[f]), 4), round(max(s[f]), 4)] for f in FIGURES if s[f]} for n, s in samples.items()
        },
        "direct": {figure: round(value, 4) for figure, value in middle["direct"].items()},
        "beside": beside,
        "goals": verdict.as_json(goals(middle)),
        "machine": facts,
    }


def table(samples: Samples) -> str:
    """The same for people: median and, in brackets, least to greatest."""
    middle = medians(samples)
    lines = [" " * WIDE + "".join(f"{title:>26}" for title in FIGURES.values())]
    for name in sorted(samples, key=[*PROXIES, "direct"].index):
        cells = []
        for figure in FIGURES:
            values = samples[name][figure]
            shown = f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})" if values else "-"
            cells.append(f"{shown:>26}")
        lines.append(f"{name:<{WIDE}}" + "".join(cells))
    for pair, by in ratios(middle).items():
        lines.append(f"{pair:<{WIDE}}" + "".join(f"{ratio:>26.2f}" for ratio in by.values()))
    for name in (n for n in PROXIES if n in samples):
        s = middle[name]
        lines.append(
            f"{name}: {s['requests_per_s']:,.0f} requests/s with its core {s['proxy_busy']:.0%} busy and the load's "
            f"{s['load_busy']:.0%}; {s['chunks_per_s']:,.0f} chunks/s, the load's core "
            f"{s['load_busy_streaming']:.0%} busy\n    "
            + "; ".join(f"{title}: {s[figure]:.4g}" for figure, title in FAIR.items())
        )
    return "\n".join([*lines, verdict.table(goals(middle))])


def main() -> None:
    """Parse the command line, measure, print."""
    parser = command.parser("router", __doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each proxy (default: 5, about 8 s each)")
    args: argparse.Namespace = parser.parse_args()
    facts = machine.facts()
    core, _ = command.cores()
    began = time.monotonic()
    samples = command.run(lambda: compare(args.rounds, core))
    print(
        f"{CONNECTIONS} connections, whole answers for {UNARY_S:.0f} s; {STREAMS} streams of {CHUNKS} chunks, "
        f"{1 / CHUNK_EVERY:.0f} a second each; {args.rounds} rounds, {time.monotonic() - began:.0f} s; "
        f"{len(ADDRESSES)} replicas; the same requests for all; modelroute runs under {installed.python()}"
    )
    print(machine.described(facts))
    print(table(samples))
    if args.json:
        print(json.dumps(report(samples, facts), ensure_ascii=False))


if __name__ == "__main__":
    main()
