"""ModelRoute: a Kubernetes operator and a router for self-hosted models with hosted fallbacks."""

__version__ = "0.2.0"
