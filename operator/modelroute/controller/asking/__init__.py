"""SHELL. What pods are asked over HTTP. Never asks the API server."""
