"""SHELL. What a plan wants pods to be asked or told, run beside the reconciles."""
