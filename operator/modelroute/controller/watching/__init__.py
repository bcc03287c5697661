"""SHELL. Kopf as a mere watcher: what is seen of the cluster, kept up to date."""
