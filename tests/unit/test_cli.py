"""The command line: which command runs, what is said to a person who made a mistake, what a manifest becomes."""

import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest

from modelroute.cli import main
from modelroute.cli.manifest import snapshot_from_manifest
from modelroute.errors import InvalidManifestError, ModelRouteError
from modelroute.snapshot.types import Auth

MANIFEST = """
apiVersion: modelroute.dev/v1alpha1
kind: ModelRoute
metadata: {name: chat}
spec:
  backends:
  - {name: small, external: {baseURL: "http://127.0.0.1:9001/v1"}}
"""
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n"


class TestManifest:
    def test_a_route_on_this_machine_becomes_a_snapshot(self) -> None:
        snapshot = snapshot_from_manifest(MANIFEST.encode())
        assert [(b.name, b.endpoints, b.loopback_allowed) for b in snapshot.backends] == [
            ("small", ("127.0.0.1:9001",), True)
        ]

    def test_it_carries_a_revision(self) -> None:
        assert snapshot_from_manifest(MANIFEST.encode()).revision

    def test_other_objects_in_the_file_are_passed_over(self) -> None:
        assert snapshot_from_manifest(f"{SECRET}---{MANIFEST}".encode()).name == "chat"

    @pytest.mark.parametrize("text", [SECRET, f"{MANIFEST}---{MANIFEST}", ""])
    def test_just_one_route_is_wanted(self, text: str) -> None:
        with pytest.raises(InvalidManifestError, match="expected one"):
            snapshot_from_manifest(text.encode())

    def test_what_is_not_yaml_is_said_to_be_so(self) -> None:
        with pytest.raises(InvalidManifestError, match="is not YAML"):
            snapshot_from_manifest(b"{")

    @pytest.mark.parametrize(("kind", "block"), [("vllm", "{model: x}"), ("targetRef", "{name: x, port: 80}")])
    def test_backends_that_need_a_cluster_are_refused_by_their_path(self, kind: str, block: str) -> None:
        text = MANIFEST.replace('external: {baseURL: "http://127.0.0.1:9001/v1"}', f"{kind}: {block}")
        with pytest.raises(InvalidManifestError, match="needs a cluster") as refused:
            snapshot_from_manifest(text.encode())
        assert refused.value.path == f"spec.backends[0].{kind}"

    def test_clients_keys_are_where_those_of_backends_are(self) -> None:
        text = f"{MANIFEST}  router: {{auth: {{apiKeysSecretRef: {{name: keys}}}}}}\n"
        assert snapshot_from_manifest(text.encode()).auth == Auth("auth/keys.yaml", "auth/pepper")

    def test_a_certificate_is_no_matter_of_the_manifest(self) -> None:
        text = f"{MANIFEST}  router: {{tls: {{secretRef: {{name: cert}}}}}}\n"
        with pytest.raises(InvalidManifestError, match="by --tls") as refused:
            snapshot_from_manifest(text.encode())
        assert refused.value.path == "spec.router.tls"


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["modelroute", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


class TestMain:
    def test_a_mistake_of_the_caller_is_one_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert called(monkeypatch, "serve", "-f", "/no/such/file") == 2
        assert capsys.readouterr().err == (
            "modelroute serve: /no/such/file cannot be read: no such file or directory\n"
        )

    def test_a_wrong_manifest_names_its_field(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "route.yaml").write_text(MANIFEST.replace("name: small,", "name: small, weight: heavy,"))
        assert called(monkeypatch, "serve", "-f", str(tmp_path / "route.yaml")) == 2
        assert "spec.backends[0].weight" in capsys.readouterr().err

    @pytest.mark.parametrize("port", ["70000", "0", "-1"])
    def test_a_port_that_cannot_be_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str
    ) -> None:
        assert called(monkeypatch, "serve", "-f", "/no/such/file", "--port", port) == 2
        assert f"{port} is not a port" in capsys.readouterr().err

    def test_a_port_that_is_taken_says_which_flag_helps(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "route.yaml").write_text(MANIFEST)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            assert called(monkeypatch, "serve", "-f", str(tmp_path / "route.yaml"), "--port", port) == 2
        assert "choose others with --port and --admin-port" in capsys.readouterr().err

    def test_a_certificate_that_is_not_there_keeps_serve_from_starting(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "route.yaml").write_text(MANIFEST)
        assert called(monkeypatch, "serve", "-f", str(tmp_path / "route.yaml"), "--tls", str(tmp_path)) == 2
        assert f"the certificate in {tmp_path} cannot be used" in capsys.readouterr().err

    def test_only_the_command_that_is_asked_for_is_loaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loaded: list[str] = []

        def load(name: str) -> ModuleType:
            loaded.append(name)
            raise ModelRouteError("far enough")

        monkeypatch.setattr("importlib.import_module", load)
        monkeypatch.setattr(sys, "argv", ["modelroute", "router"])
        with pytest.raises(ModelRouteError):
            main.main()
        assert loaded == ["modelroute.cli.router"]

    @pytest.mark.parametrize("arguments", [[], ["nope"], ["serve"]])
    def test_usage_is_told(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        assert called(monkeypatch, *arguments) == 2
        assert "usage: modelroute" in capsys.readouterr().err
