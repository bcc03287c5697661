"""PURE. What the webhooks say of a manifest and put into a pod; no part of a plan."""
