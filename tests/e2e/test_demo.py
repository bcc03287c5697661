"""The README's first command, as a person sees it."""

import os
import subprocess

from tests.e2e.conftest import ROOT, Cluster


def test_each_stage_is_told_with_its_time(cluster: Cluster) -> None:
    stages = ("cluster", "images", "helm install", "examples/quickstart.yaml")
    shown = [line.split() for line in cluster.demo_output.splitlines() if line.startswith(" ✓ ")]
    assert [" ".join(words[1 : words.index("s") - 1]) for words in shown] == list(stages)


def test_who_answered_and_why_is_told(cluster: Cluster) -> None:
    assert '"def fib(n): explain this function"' in cluster.demo_output
    assert "rule code" in cluster.demo_output
    assert "of 20" in cluster.demo_output


def test_it_says_that_a_stand_in_answers(cluster: Cluster) -> None:
    assert "stand-in that speaks as vLLM does" in cluster.demo_output


def test_a_stage_that_fails_says_what_to_do(cluster: Cluster) -> None:
    command = [str(ROOT / "dev"), "demo", "--context", "no-such-context"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"KUBECONFIG": cluster.kubeconfig}
    )
    assert done.returncode != 0
    assert "no-such-context" in done.stdout + done.stderr
    assert "what to do:" in done.stdout + done.stderr
