"""A small server that behaves like vLLM 0.32 (or a hosted OpenAI-style API) without any model.

Tests, `./dev serve` and the demo use it wherever a real engine would be too heavy. What it answers, refuses and does on
SIGTERM follows recordings of a real server (tests/golden/vllm); what it says is made up. It never computes anything.
"""
