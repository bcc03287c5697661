"""PURE. What must be in the cluster for one ModelRoute, and what its status says: ``plan`` is the entrance."""
