"""The errors that cross from one room to another; every room may raise them, the shells show them to people."""


class ModelRouteError(Exception):
    """Whatever this project raises on purpose; its text is a sentence for the person who has to act."""


class InvalidManifestError(ModelRouteError):
    """A ModelRoute that cannot be used. ``path`` is the field as kubectl has it: ``spec.backends[0].weight``."""

    def __init__(self, path: str, problem: str) -> None:
        """Keep ``path`` apart from ``problem``, for callers that put them into a condition."""
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class InvalidSnapshotError(ModelRouteError):
    """A snapshot that this router cannot run: broken, or written in a format that it does not know."""
