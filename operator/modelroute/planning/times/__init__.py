"""PURE. Moments, recurring ones and windows of a wall clock."""
