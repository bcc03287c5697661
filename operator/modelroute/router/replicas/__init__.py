"""Backends as this router runs them: addresses, health, limits, connections. Knows no request."""
