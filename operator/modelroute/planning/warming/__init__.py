"""PURE. Which replicas are asked a first request, or one by a schedule, and what came of it."""
