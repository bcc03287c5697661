"""Logs as one line of key=value pairs a record, on standard error. Set up by ``app``; used by nobody else."""

import json
import logging
import re
import time

REPEAT_SECONDS = 60.0


class OneLine(logging.Formatter):
    """time, level, message, and the route that it is about, if any."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line; a traceback's lines are joined."""
        pairs = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname.lower(),
            "route": getattr(record, "route", None),
            "msg": record.getMessage(),
            "error": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return " ".join(f"{key}={_quoted(value)}" for key, value in pairs.items() if value is not None)


class Seldom(logging.Filter):
    """Of what kopf says again and again in an outage, for each kind and try, one a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be told."""
        if not record.name.startswith("kopf"):
            return True
        text = re.sub(r"#\d+|resourceVersion=\d+", "", record.getMessage())
        self._said = {said: at for said, at in self._said.items() if record.created - at < REPEAT_SECONDS}
        return self._said.setdefault(text, record.created) == record.created


def configure() -> None:
    """Send all records of INFO and above to standard error; of libraries', what is worth a look."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    handler.addFilter(Seldom())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for library in ("kopf", "httpx", "httpcore"):  # httpx would tell of every request, with the pod's address
        logging.getLogger(library).setLevel(logging.WARNING)


def _quoted(value: str) -> str:
    return value if value.replace("-", "").replace(":", "").replace("/", "").isalnum() else json.dumps(value)
