"""The OpenAI surface: paths, bodies, streams and errors as bytes and values. Knows no socket and no backend."""
