"""PURE. How many replicas a backend should have, and why."""
