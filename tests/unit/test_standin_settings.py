"""The stand-in takes vLLM's command line as operators write it, and its own settings from flags or the environment."""

import pytest

from vllm_standin.settings import SettingsError, parse


def test_the_command_line_that_an_operator_writes() -> None:
    line = (
        "serve Qwen/Qwen2.5-7B --host 0.0.0.0 --port 8000 --served-model-name small chat --shutdown-timeout 25"
        " --max-model-len=8k --max_num_seqs 4 --tensor-parallel-size 2 -O3 --enforce-eager --api-key a b"
    )
    settings, notes = parse(line.split(), {})
    assert settings.model == "Qwen/Qwen2.5-7B"
    assert settings.served_names == ("small", "chat")
    assert (settings.host, settings.port, settings.shutdown_timeout) == ("0.0.0.0", 8000, 25.0)
    assert (settings.max_model_len, settings.max_num_seqs, settings.api_keys) == (8000, 4, ("a", "b"))
    assert [note.split()[0] for note in notes] == ["--tensor-parallel-size", "-O3", "--enforce-eager"]


@pytest.mark.parametrize("line", ["serve a/b", "a/b", "--model a/b", "serve --model=a/b"])
def test_a_model_may_be_named_in_each_of_vllms_ways_and_is_served_under_its_own_name(line: str) -> None:
    settings, _ = parse(line.split(), {})
    assert (settings.model, settings.served_names) == ("a/b", ("a/b",))


def test_own_settings_come_from_the_environment_and_flags_win() -> None:
    environ = {
        "STANDIN_FIRST_TOKEN": "250ms",
        "STANDIN_ROLE": "openai",
        "STANDIN_API_KEY": "k",
        "STANDIN_PORT": "tcp://x",
    }
    settings, notes = parse(["serve", "m", "--standin-inter-token=2s", "--standin-first-token", "1m"], environ)
    assert (settings.first_token, settings.inter_token, settings.openai) == (60.0, 2.0, True)
    assert (settings.api_keys, notes) == (("k",), [])
    slow = parse(["serve", "m", "--standin-first-request", "3s", "--standin-wake-up=500ms"], {})[0]
    assert (slow.first_request, slow.wake_up) == (3.0, 0.5)


def test_vllms_own_variables_count_too() -> None:
    environ = {"VLLM_API_KEY": "k", "VLLM_SERVER_DEV_MODE": "1", "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "7"}
    settings, _ = parse(["serve", "m"], environ)
    assert (settings.api_keys, settings.dev_mode, settings.keep_alive) == (("k",), True, 7.0)


@pytest.mark.parametrize("flags", [["--task", "embed"], ["--runner=pooling"], ["--convert", "embed"]])
def test_a_server_of_embeddings(flags: list[str]) -> None:
    assert parse(["serve", "m", *flags], {})[0].embed


@pytest.mark.parametrize(
    ("line", "environ", "message"),
    [
        ("serve", {}, "one model is expected"),
        ("serve a b", {}, "got ['a', 'b']"),
        ("serve m --port x", {}, '--port: "x" is not a whole number'),
        ("serve m --port", {}, '--port: "" is not a whole number'),
        ("serve m --max-num-seqs 0", {}, '--max-num-seqs: "0" is not above 0'),
        ("serve m --max-model-len k", {}, '--max-model-len: "" is not a whole number'),
        ("serve m --shutdown-timeout -1", {}, '--shutdown-timeout: "-1" is not a number of seconds'),
        ("serve m --standin-first-token 5", {}, '"5" is not a time; write 500ms, 2s or 1m'),
        ("serve m --standin-role azure", {}, '--standin-role: "azure" is not a role'),
        ("serve m --standin-answer {who}", {}, "--standin-answer: only {model}, {question} and {advice}"),
        ("serve m --standin-speed 1s", {}, "--standin-speed: no such setting; there are --standin-role"),
        ("serve m", {"STANDIN_INTER_TOKEN": "fast"}, 'STANDIN_INTER_TOKEN: "fast" is not a time'),
    ],
)
def test_what_cannot_work_is_refused_by_name(line: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse(line.split(), environ)
    assert message in str(refused.value)
