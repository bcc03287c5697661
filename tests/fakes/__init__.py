"""What tests use in place of the world: upstreams that follow a script, and clients that keep asking."""
