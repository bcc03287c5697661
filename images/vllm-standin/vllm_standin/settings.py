"""What the stand-in is told: vLLM's own command line, and a few settings of its own.

`server.main` calls `parse` once at start. vLLM flags that matter here are understood, the rest are accepted and named
in a note, since the operator passes a user's arguments through. The stand-in's own settings are `--standin-NAME VALUE`
or the environment variable `STANDIN_NAME`; the flag wins. Nothing here reads the environment by itself.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ANSWER = 'This is {model} on "{question}": {advice}'
_FLAG = re.compile(r"--?[A-Za-z]")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class SettingsError(ValueError):
    """A command line that cannot work: says which setting and what it should be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the server needs to know; times are seconds, lengths are tokens."""

    model: str
    served_names: tuple[str, ...]
    host: str | None = None
    port: int = 8000
    max_model_len: int = 8192
    max_num_seqs: int = 256
    max_num_queued_reqs: int | None = None
    num_gpu_blocks: int = 4096
    block_size: int = 16
    shutdown_timeout: float = 0.0
    keep_alive: float = 5.0
    prompt_tokens_details: bool = False
    embed: bool = False
    dev_mode: bool = False
    api_keys: tuple[str, ...] = ()
    openai: bool = False
    startup_delay: float = 0.0
    first_token: float = 0.0
    inter_token: float = 0.0
    first_request: float = 0.0
    wake_up: float = 0.0
    answer: str = ANSWER

    @property
    def name(self) -> str:
        """The name it gives itself: the first served one, whatever alias was asked for."""
        return self.served_names[0]


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read `serve MODEL --flags` and the environment into settings and notes about flags that do nothing here.

    Raises SettingsError naming the flag or variable at fault.
    """
    positional, flags = _split(argv)
    found: dict[str, Any] = {}
    notes = []
    for flag, (field, convert) in _STANDIN.items():
        variable = flag[2:].upper().replace("-", "_")
        if variable in environ:
            found[field] = _converted(variable, environ[variable], convert)
    for flag, values in flags.items():
        if entry := {**_VLLM, **_STANDIN}.get(flag):
            found[entry[0]] = _converted(flag, " ".join(values), entry[1])
        elif flag.startswith("--standin-"):
            raise SettingsError(f"{flag}: no such setting; there are {', '.join(_STANDIN)}")
        elif flag not in _LISTS and flag not in _SWITCHES:
            notes.append(f"{flag} has no effect in the stand-in")
    if given := environ.get("VLLM_HTTP_TIMEOUT_KEEP_ALIVE"):
        found["keep_alive"] = _converted("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", given, _seconds)
    model = _model(positional, flags)
    keys = flags.get("--api-key") or [environ[k] for k in ("STANDIN_API_KEY", "VLLM_API_KEY") if environ.get(k)]
    found.setdefault("api_keys", tuple(keys))
    found["prompt_tokens_details"] = "--enable-prompt-tokens-details" in flags
    found["embed"] = any("embed" in flags.get(f, ()) or "pooling" in flags.get(f, ()) for f in _TASKS)
    found["dev_mode"] = environ.get("VLLM_SERVER_DEV_MODE") == "1"
    names = tuple(flags.get("--served-model-name") or [model])
    return Settings(model=model, served_names=names, **found), notes


def _split(argv: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Positional words, and each flag with the words that follow it; a flag given twice keeps the last."""
    positional: list[str] = []
    flags: dict[str, list[str]] = {}
    values = positional
    for word in argv:
        if _FLAG.match(word):
            name, equals, value = word.partition("=")
            flags[name.replace("_", "-")] = values = [value] if equals else []
        else:
            values.append(word)
    return positional, flags


def _model(positional: Sequence[str], flags: Mapping[str, Sequence[str]]) -> str:
    words = list(positional[1:] if positional[:1] == ["serve"] else positional) or list(flags.get("--model", ()))
    if len(words) != 1:
        raise SettingsError(f"one model is expected, as in `serve MODEL --port 8000`; got {words or 'none'}")
    return words[0]


def _converted(name: str, text: str, convert: Callable[[str], object]) -> object:
    try:
        return convert(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _whole(text: str) -> int:
    if not re.fullmatch(r"\d+", text):
        raise ValueError(f'"{text}" is not a whole number')
    return int(text)


def _positive(text: str) -> int:
    if (number := _whole(text)) < 1:
        raise ValueError(f'"{text}" is not above 0')
    return number


def _length(text: str) -> int:
    """vLLM's spelling of lengths: 8192, 8k (8000), 8K (8192)."""
    factor = {"k": 1000, "K": 1024}.get(text[-1:], 0)
    return _positive(text[:-1]) * factor if factor else _positive(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ValueError(f'"{text}" is not a number of seconds')
    return float(text)


def _duration(text: str) -> float:
    if not (match := _DURATION.fullmatch(text)):
        raise ValueError(f'"{text}" is not a time; write 500ms, 2s or 1m')
    return float(match[1]) * _UNITS[match[2]]


def _openai(text: str) -> bool:
    if text not in {"vllm", "openai"}:
        raise ValueError(f'"{text}" is not a role; there are vllm, openai')
    return text == "openai"


def _answer(text: str) -> str:
    try:
        text.format(model="", question="", advice="")
    except (LookupError, ValueError):
        raise ValueError("only {model}, {question} and {advice} may stand in braces") from None
    return text


def _key(text: str) -> tuple[str, ...]:
    return (text,)


_VLLM: dict[str, tuple[str, Callable[[str], object]]] = {
    "--host": ("host", str),
    "--port": ("port", _whole),
    "--max-model-len": ("max_model_len", _length),
    "--max-num-seqs": ("max_num_seqs", _positive),
    "--max-num-queued-reqs": ("max_num_queued_reqs", _positive),
    "--num-gpu-blocks-override": ("num_gpu_blocks", _positive),
    "--block-size": ("block_size", _positive),
    "--shutdown-timeout": ("shutdown_timeout", _seconds),
}
_STANDIN: dict[str, tuple[str, Callable[[str], object]]] = {
    "--standin-role": ("openai", _openai),
    "--standin-api-key": ("api_keys", _key),
    "--standin-startup-delay": ("startup_delay", _duration),
    "--standin-first-token": ("first_token", _duration),
    "--standin-inter-token": ("inter_token", _duration),
    "--standin-first-request": ("first_request", _duration),
    "--standin-wake-up": ("wake_up", _duration),
    "--standin-answer": ("answer", _answer),
}
_TASKS = ("--task", "--runner", "--convert")
_LISTS = ("--served-model-name", "--api-key", "--model", *_TASKS)
_SWITCHES = ("--enable-prompt-tokens-details",)
