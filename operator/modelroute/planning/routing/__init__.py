"""PURE. What routers are told: who answers, how loaded they are, how long a start takes."""
