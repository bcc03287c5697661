"""What only a process shows: the port while it loads, SIGTERM, keep-alive, clients that go away, and many of them."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import Callable

import pytest

from tests.fakes.standin import Standin, chat_request, standin

HI = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
LIMIT = 20.0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def refused(server: Standin) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was still in the backlog when the port closed
        return False
    return False


def metric(server: Standin, name: str) -> float:
    page = server.ask("GET", "/metrics")[1]
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(name))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_the_port_refuses_while_it_loads_and_a_signal_ends_the_loading() -> None:
    with standin("--standin-startup-delay", "60s", port=free_port(), wait=False) as server:
        assert server.process.stdout is not None
        assert "loads for 60.0 s" in server.process.stdout.readline()
        assert refused(server)
        server.process.terminate()
        assert server.process.wait(LIMIT) == 0


def test_once_loaded_it_is_healthy_at_once() -> None:
    with standin("--standin-startup-delay", "200ms") as server:
        assert server.ask("GET", "/health") == (200, "")


def test_by_default_sigterm_leaves_streams_open_and_silent_until_their_clients_hang_up() -> None:
    with standin("--standin-inter-token", "30ms") as server:
        reader = server.stream(max_tokens=5000)
        reader.until(b'"content":"This"')
        server.process.terminate()
        until(lambda: refused(server))
        until(reader.silent)
        assert b"[DONE]" not in reader.received
        assert server.process.poll() is None
        reader.socket.close()
        assert server.process.wait(LIMIT) == 0


def test_with_a_timeout_streams_go_on_new_requests_fail_and_health_stays_good() -> None:
    with standin("--shutdown-timeout", "60", "--standin-inter-token", "30ms") as server:
        reader = server.stream(max_tokens=100)
        reader.until(b'"content":"This"')
        server.process.terminate()
        until(lambda: server.ask("POST", "/v1/chat/completions", HI)[0] == 500)
        assert "cannot schedule new futures" in server.ask("POST", "/v1/chat/completions", HI | {"stream": True})[1]
        assert server.ask("GET", "/health")[0] == 200
        assert reader.until(b"0\r\n\r\n").count(b'"content":') == 101
        assert server.process.wait(LIMIT) == 0


def test_streams_left_when_the_timeout_ends_hang_like_the_others() -> None:
    with standin("--shutdown-timeout", "0.2", "--standin-inter-token", "30ms") as server:
        reader = server.stream(max_tokens=5000)
        reader.until(b'"content":"This"')
        server.process.terminate()
        until(lambda: refused(server))
        until(reader.silent)
        assert server.process.poll() is None
        reader.socket.close()
        assert server.process.wait(LIMIT) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_at_once_with_its_idle_connections(number: signal.Signals) -> None:
    with standin("--shutdown-timeout", "60") as server:
        reader = server.send(b"GET /health HTTP/1.1\r\n\r\n")
        reader.until(b"\r\n\r\n")
        server.process.send_signal(number)
        assert server.process.wait(LIMIT) == 0
        assert reader.socket.recv(1) == b""


def test_a_second_interrupt_does_not_wait_for_clients() -> None:
    with standin("--standin-inter-token", "60s") as server:
        server.stream().until(b'"content":"This"')
        server.process.send_signal(signal.SIGINT)
        until(lambda: refused(server))
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(LIMIT) == 0


def test_a_client_that_hangs_up_frees_its_slot_and_counts_as_aborted() -> None:
    with standin("--max-num-seqs", "1", "--standin-inter-token", "60s") as server:
        first, second = server.stream(), server.stream()
        first.until(b'"content":"This"')
        until(lambda: metric(server, "vllm:num_requests_waiting{") == 1)
        first.socket.close()
        second.until(b'"content":"This"')
        second.socket.close()
        until(lambda: metric(server, 'vllm:request_success_total{engine="0",finished_reason="abort"') == 2)
        assert metric(server, "vllm:num_requests_running") == 0


def test_pipelined_requests_are_answered_in_their_order_on_one_connection() -> None:
    with standin("--standin-answer", "{question}") as server:
        asks = [{"messages": [{"role": "user", "content": f"q{n}"}], "stream": n % 2 == 0} for n in range(20)]
        pipelined = b"".join(map(chat_request, asks)) + b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n"
        received = server.send(pipelined).until(b'{"version":"0.32.0"}')
        found = [received.find(f'"q{n}"'.encode()) for n in range(20)]
        assert -1 not in found
        assert found == sorted(found)


def test_a_connection_that_stays_idle_after_an_answer_is_closed_as_uvicorn_does() -> None:
    with standin(VLLM_HTTP_TIMEOUT_KEEP_ALIVE="1") as server:
        reader = server.send(b"GET /version HTTP/1.1\r\n\r\n")
        reader.until(b'"0.32.0"}')
        assert reader.socket.recv(1) == b""


def test_what_is_no_request_gets_a_400_and_an_end() -> None:
    with standin() as server:
        reader = server.send(b"HELLO\r\n\r\n")
        assert reader.until(b"the first line").startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert reader.socket.recv(1) == b""


def test_a_client_that_waits_for_continue_gets_it() -> None:
    with standin() as server:
        head, body = chat_request(HI).split(b"\r\n\r\n")
        reader = server.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        reader.until(b"100 Continue\r\n\r\n")
        reader.socket.sendall(body)
        assert b"200 OK" in reader.until(b'"finish_reason":"length"')


def test_hundreds_of_streams_at_once_each_get_their_own_answer_whole() -> None:
    async def one(port: int, number: int) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = {"messages": [{"role": "user", "content": f"mark{number}"}], "stream": True}
        writer.write(chat_request(body).replace(b"host: a", b"connection: close"))
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
        said = [json.loads(line[6:]) for line in received.splitlines() if line.startswith(b"data: {")]
        text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in said)
        return f"mark{number} " in text and received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")

    async def all_of(port: int) -> list[bool]:
        return await asyncio.gather(*(one(port, number) for number in range(300)))

    with standin("--standin-inter-token", "5ms", "--standin-answer", "{question} {advice}") as server:
        assert asyncio.run(all_of(server.port)) == [True] * 300


def test_a_port_that_is_taken_and_a_flag_that_cannot_work_end_it_with_a_reason() -> None:
    with standin() as server, standin("--host", "127.0.0.1", port=server.port, wait=False) as second:
        assert second.process.wait(LIMIT) == 1
    with standin("--port", "x", wait=False) as wrong:
        assert wrong.process.wait(LIMIT) == 2
