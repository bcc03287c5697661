"""SHELL. The operator: watches ModelRoutes and what belongs to them, and carries out what ``planning`` decides."""
