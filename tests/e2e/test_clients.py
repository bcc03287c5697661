"""The official OpenAI clients, through the router of a real cluster."""

import json
import subprocess
from pathlib import Path

import pytest
from openai import NotFoundError, OpenAI

from tests.e2e.conftest import URL, Cluster

NODE_CLIENT = "openai@6.49.0"
SCRIPT = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.argv[2], apiKey: "not-needed", maxRetries: 0 });
const messages = [{ role: "user", content: "What is a router?" }];
const whole = await client.chat.completions.create({ model: "chat", messages });
let streamed = "";
for await (const chunk of await client.chat.completions.create({ model: "chat", messages, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
let refused = null;
try { await client.chat.completions.create({ model: "chatt", messages }); }
catch (error) { refused = { status: error.status, code: error.code, type: error.type, param: error.param }; }
const models = (await client.models.list()).data.map((model) => model.id);
console.log(JSON.stringify({ whole: whole.choices[0].message.content, streamed, refused, models }));
"""


def test_python_plain(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "What is a router?"}])
    assert answer.choices[0].message.content
    assert answer.usage
    assert answer.usage.completion_tokens > 0


def test_python_streamed(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "What is a router?"}], stream=True
        )
    )
    assert len(chunks) > 2
    assert chunks[-1].choices[0].finish_reason


def test_python_completions(client: OpenAI) -> None:
    assert client.completions.create(model="chat", prompt="What is", max_tokens=4).choices[0].text


def test_python_lists_the_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["chat"]


def test_an_unknown_model_is_refused_with_the_served_ones(client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="chat") as refused:
        client.chat.completions.create(model="chatt", messages=[{"role": "user", "content": "x"}])
    assert refused.value.code == "model_not_found"


def test_node(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    subprocess.run(["npm", "install", "--silent", "--no-audit", NODE_CLIENT], cwd=tmp_path, check=True)
    (tmp_path / "ask.js").write_text(SCRIPT)
    done = subprocess.run(["node", "ask.js", f"{URL}/v1"], cwd=tmp_path, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["whole"]
    assert found["streamed"]
    assert found["refused"] == {
        "status": 404, "code": "model_not_found", "type": "invalid_request_error", "param": "model"
    }  # fmt: skip
    assert found["models"] == ["chat"]
