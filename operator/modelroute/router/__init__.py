"""SHELL. The data plane: sockets, the OpenAI API, forwarding, streaming, failover. Never asks Kubernetes."""
