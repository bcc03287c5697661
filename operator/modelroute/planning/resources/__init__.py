"""PURE. One maker per child object; each returns the object as server-side apply sends it."""
