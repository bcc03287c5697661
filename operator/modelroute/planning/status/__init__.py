"""PURE. What the ModelRoute's status says, and which Events tell of a change of it."""
