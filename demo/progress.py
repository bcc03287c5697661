"""Shows the stages of the demo: a line each, moving while it runs, with its time, and with what to do when it fails.

Used by ``demo`` alone. Never decides what a stage does.
"""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

_QUIET_EVERY = 30.0
"""Seconds between signs of life where the output is not a terminal."""


class StageError(Exception):
    """A stage that cannot go on; the text says why, ``hint`` what to do."""

    def __init__(self, problem: str, hint: str = "") -> None:
        """Keep the hint apart, since each stage has one of its own for what it does not foresee."""
        super().__init__(problem)
        self.hint = hint


class Stage:
    """One running stage: ``say`` what it is at, ``run`` commands whose output goes to the log."""

    def __init__(self, name: str, log: IO[str]) -> None:
        """A stage called ``name``; what its commands print goes to ``log``."""
        self.name = name
        self.now = ""
        self._log = log

    def say(self, text: str) -> None:
        """Show ``text`` beside the stage's name while it runs."""
        self.now = text.strip()

    def run(self, *command: str | Path, stdin: str | None = None, env: dict[str, str] | None = None) -> str:
        """What ``command`` prints on stdout; StageError with its last words when it fails."""
        self._log.write(f"\n$ {' '.join(map(str, command))}\n")
        process = subprocess.Popen(
            [str(c) for c in command],
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",  # a line may be read in the middle of a character
            env=env,
        )
        words: list[str] = []
        listener = threading.Thread(target=self._listen, args=(process.stderr, words))
        listener.start()
        if stdin is not None and process.stdin:
            process.stdin.write(stdin)
            process.stdin.close()
        out = process.stdout.read() if process.stdout else ""
        code = process.wait()
        listener.join()
        self._log.write(out)
        self._log.flush()
        if code:
            last = "\n".join((words or out.splitlines())[-12:])
            raise StageError(f"`{Path(str(command[0])).name} {' '.join(map(str, command[1:4]))}` failed:\n{last}")
        return out

    def _listen(self, stream: IO[str] | None, words: list[str]) -> None:
        for line in stream or ():
            text = line.replace("\r", "\n").rstrip("\n").rsplit("\n", 1)[-1]
            words.append(text)
            self._log.write(line)
            self.say(text)


class Stages:
    """The stages of one run, in order."""

    def __init__(self, log: Path) -> None:
        """Keep what commands print in the file ``log``."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self.path = log
        self._log = log.open("w")
        self._moving = sys.stdout.isatty()

    def do(self, name: str, work: Callable[[Stage], str], hint: str) -> None:
        """Run ``work``; its result is shown beside the stage's time. A failure ends the program with ``hint``."""
        stage = Stage(name, self._log)
        began = time.monotonic()
        done = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(stage, began, done))
        ticker.start()
        try:
            result, mark = work(stage), "✓"
        except StageError as error:
            result, mark = "", "✗"
            problem, hint = str(error), error.hint or hint
        except KeyboardInterrupt:
            result, mark = "interrupted", "✗"
            problem, hint = "", "run the same command again; it goes on where it stopped"
        finally:
            done.set()
            ticker.join()
        self._line(f" {mark} {name:<30} {time.monotonic() - began:5.0f} s   {result}", end="\n")
        if mark == "✗":
            sys.exit(f"{_indented(problem)}\n   what to do: {hint}\n   the whole log: {self.path}")

    def _tick(self, stage: Stage, began: float, done: threading.Event) -> None:
        signs = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        turn = 0
        while not done.wait(0.1 if self._moving else _QUIET_EVERY):
            turn += 1
            sign = signs[turn % len(signs)] if self._moving else "…"
            self._line(f" {sign} {stage.name:<30} {time.monotonic() - began:5.0f} s   {stage.now}", end="")

    def _line(self, text: str, end: str) -> None:
        if self._moving:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write(f"\r\x1b[K{text[:width] if not end else text}{end}")
        else:
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _indented(text: str) -> str:
    return "\n".join(f"   {line}" for line in text.splitlines())


def evaluated(lines: str, names: Sequence[str]) -> dict[str, str]:
    """The ``NAME=value`` lines of a script's output, for the names that are asked for."""
    pairs = (line.split("=", 1) for line in lines.splitlines() if "=" in line)
    return {name: value.strip("'\"") for name, value in pairs if name in names}
