"""SHELL. The command line: `modelroute router | serve | operator`."""
