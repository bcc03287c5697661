"""PURE. Which backend answers a request, and why. Chance is an argument; nothing here waits, logs or counts."""
