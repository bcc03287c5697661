"""Who asks, and with whose keys backends are asked. Keys are read from files and never shown."""
