"""`./dev bench router`: what this router costs beside nginx, in one run, each on one core.

The proxies take turns on one core; the upstream and the clients share another. CPU is what the kernel counted for all
of a proxy's processes while a known number of requests or chunks went through. Never leaves loopback.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import uvloop

from benchmarks import clients, machine
from benchmarks.proxies import OPTIONAL, PROXIES, MissingError, Proxy, running
from benchmarks.upstream import CHUNK_EVERY, CHUNKS, Upstream

CONNECTIONS = 32
STREAMS = 100
ALONE_S, UNARY_S = 1.0, 2.0
FIGURES = {
    "request_us": "CPU µs a request",
    "chunk_us": "CPU µs a chunk",
    "alone_p50_ms": "p50 alone, ms",
    "rss_mb": "RSS, MB",
}

Samples = dict[str, dict[str, list[float]]]


async def measure(name: str, port: int, pid: int | None, samples: Samples) -> None:
    """One turn of one proxy, or with no ``pid`` of the upstream itself: its figures go to ``samples[name]``."""

    def spent() -> float:
        return machine.family_cpu_seconds(pid) if pid else 0.0

    mine = samples[name]
    alone = await clients.unary(port, 1, ALONE_S, spent)
    mine["alone_p50_ms"].append(machine.percentile(alone.seconds, 0.5) * 1e3)
    busy = await clients.unary(port, CONNECTIONS, UNARY_S, spent)
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
    if this := asyncio.current_task():
        loop.add_signal_handler(signal.SIGTERM, this.cancel)
    server = await loop.create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    upstream: int = server.sockets[0].getsockname()[1]
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelroute-bench-")))
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
            await measure("direct", upstream, None, samples)
            for proxy in proxies:
                await measure(proxy.name, proxy.port, proxy.pid, samples)
    server.close()
    return samples


def report(samples: Samples, facts: Mapping[str, str | int]) -> dict[str, object]:
    """The object that --json prints: medians by proxy, ours over nginx's, and min to max of every figure."""
    middle = {name: {f: statistics.median(v) for f, v in figures.items() if v} for name, figures in samples.items()}
    proxies = {name: {f: round(m[f], 4) for f in FIGURES} for name, m in middle.items() if name != "direct"}
    beside = {n: {f: round(m[f], 4) for f in m if f not in FIGURES} for n, m in middle.items() if n != "direct"}
    direct = {figure: round(value, 4) for figure, value in middle["direct"].items()}
    ours, theirs = proxies["modelroute"], proxies["nginx"]
    return {
        **proxies,
        "ratio": {f: round(ours[f] / theirs[f], 3) for f in FIGURES},
        "range": {
            n: {f: [round(min(s[f]), 4), round(max(s[f]), 4)] for f in FIGURES if s[f]} for n, s in samples.items()
        },
        "direct": direct,
        "beside": beside,
        "machine": facts,
    }


def table(samples: Samples) -> str:
    """The same for people: median and, in brackets, least to greatest."""
    lines = [" " * 13 + "".join(f"{title:>26}" for title in FIGURES.values())]
    for name in sorted(samples, key=[*PROXIES, "direct"].index):
        cells = []
        for figure in FIGURES:
            values = samples[name][figure]
            shown = f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})" if values else "-"
            cells.append(f"{shown:>26}")
        lines.append(f"{name:<13}" + "".join(cells))
    ratios = [statistics.median(samples["modelroute"][f]) / statistics.median(samples["nginx"][f]) for f in FIGURES]
    lines.append(f"{'ours / nginx':<13}" + "".join(f"{ratio:>26.2f}" for ratio in ratios))
    for name in (n for n in PROXIES if n in samples):
        s = {figure: statistics.median(values) for figure, values in samples[name].items()}
        lines.append(
            f"{name}: {s['requests_per_s']:,.0f} requests/s with its core {s['proxy_busy']:.0%} busy and the load's "
            f"{s['load_busy']:.0%}; {s['chunks_per_s']:,.0f} chunks/s, the load's core "
            f"{s['load_busy_streaming']:.0%} busy"
        )
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="./dev bench router", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each proxy (default: 5, about 8 s each)")
    args = parser.parse_args()
    facts = machine.facts()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("error: this needs two cores, one for the proxy and one for the load; here is one")
    os.sched_setaffinity(0, {cores[-1]})
    began = time.monotonic()
    try:
        samples = uvloop.run(compare(args.rounds, cores[0]))
    except (MissingError, RuntimeError, clients.BadAnswerError) as error:
        sys.exit(f"error: {error}")
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit("interrupted; all that was started has ended")
    print(
        f"{CONNECTIONS} connections, whole answers for {UNARY_S:.0f} s; {STREAMS} streams of {CHUNKS} chunks, "
        f"{1 / CHUNK_EVERY:.0f} a second each; {args.rounds} rounds, {time.monotonic() - began:.0f} s"
    )
    print(machine.described(facts))
    print(table(samples))
    if args.json:
        print(json.dumps(report(samples, facts), ensure_ascii=False))


if __name__ == "__main__":
    main()
