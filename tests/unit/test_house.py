"""The limits that keep the code pleasant to live in; what ruff cannot hold is held here."""

import ast
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "operator/modelroute"
PARSERS = {"httptools": "0.9.0", "msgspec": "0.22.0", "uvloop": "0.23.0"}
MAX_MODULE, MAX_FUNCTION, MAX_P95 = 300, 60, 40


def tracked(*patterns: str) -> list[Path]:
    """The files that git knows, or would know after an add, by pattern."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    return [path for name in listed if (path := ROOT / name).is_file()]


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def functions(path: Path) -> list[tuple[str, int]]:
    found = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(f"{path.relative_to(ROOT)}:{n.name}", (n.end_lineno or 0) - n.lineno + 1) for n in found]


def code_lines(paths: list[Path]) -> int:
    return sum(1 for path in paths for line in path.read_text().splitlines() if line.strip())


SOURCES = [p for p in tracked("*.py") if "tests" not in p.relative_to(ROOT).parts]
TESTS = tracked("tests/*.py", "tests/**/*.py")


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_fits_in_the_head(path: Path) -> None:
    assert lines(path) <= MAX_MODULE


def test_no_function_is_long() -> None:
    assert [f for path in [*SOURCES, *TESTS] for f in functions(path) if f[1] > MAX_FUNCTION] == []


def test_most_functions_are_short() -> None:
    lengths = sorted(length for path in SOURCES for _, length in functions(path))
    assert lengths[int(len(lengths) * 0.95)] <= MAX_P95


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_why_it_exists(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_package_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


@pytest.mark.parametrize("room", ["api", "snapshot", "planning", "policy"])
def test_a_pure_room_asks_no_clock_and_opens_no_file(room: str) -> None:
    """What import-linter cannot see: ``datetime`` is a type, too, and ``open`` is imported from nowhere."""
    calls = [
        (path.name, node.lineno)
        for path in (PACKAGE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", "") == "open" or getattr(node.func, "attr", "") in {"now", "today", "utcnow"})
    ]
    assert calls == []


def imported(path: Path) -> set[str]:
    """The names of modules that a file imports, and of packages around them."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    modules = {f"{n.module}.{a.name}" for n in found for a in n.names} | {n.module or "" for n in found}
    return {part for module in modules for part in module.split(".")}


def test_who_is_said_to_call_a_module_does() -> None:
    """Of the names that follow the first "Called by" or the like, up to a comma that begins something else."""
    lies = []
    for path in PACKAGE.rglob("*.py"):
        said = re.search(r"(?:Called|Used|Run|Made) by ((?:(?:, | and |by )*``[a-z_.]+``)+)", path.read_text()[:1500])
        for caller in re.findall(r"``(?:[a-z_]+\.)*([a-z_]+)``", said[1] if said else ""):
            named = [p for form in (f"{caller}.py", f"{caller}/**/*.py") for p in PACKAGE.rglob(form)]
            if caller != "main" and not any(path.stem in imported(p) for p in named):  # main imports when it must
                lies.append(f"{path.name}: {caller}")
    assert lies == []


def test_tests_are_neither_few_nor_a_burden() -> None:
    product = [p for p in SOURCES if p.relative_to(ROOT).parts[0] in ("operator", "images")]
    assert 1.0 <= code_lines(TESTS) / code_lines(product) <= 1.5


def test_lock_files_pin_by_hash_and_name_no_registry() -> None:
    for lock in (ROOT / "requirements").glob("*.lock"):
        text = lock.read_text()
        assert "://" not in text, lock.name
        pins, hashes = text.count("=="), text.count("--hash=sha256:")
        assert hashes >= pins > 0, lock.name


@pytest.mark.parametrize("image", ["router", "operator"])
def test_what_parses_strangers_bytes_changes_only_on_purpose(image: str) -> None:
    """Read its advisories first: each one that concerns a router gets a case in the corpus of spoiled requests."""
    lock = dict(re.findall(r"^([a-z-]+)==(\S+)", (ROOT / f"requirements/{image}.lock").read_text(), re.MULTILINE))
    parsers = {name: lock[name] for name in ("httptools", "msgspec", "uvloop")}
    assert parsers == PARSERS
    assert {name: metadata.version(name) for name in PARSERS} == PARSERS


def test_the_router_image_stays_light() -> None:
    lock = (ROOT / "requirements/router.lock").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lock if "==" in line}
    assert pinned == {"cronsim", "httptools", "msgspec", "prometheus-client", "pyyaml", "tzdata", "uvloop"}


@pytest.mark.parametrize("path", tracked("*.md"), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\[([^]\n]*)\]\(([^)#\s]+)", path.read_text())
    here = [(text, path.parent / target) for text, target in links if "://" not in target]
    assert [str(target) for _, target in here if not target.exists()] == []
    numbered = [(text, target.name) for text, target in here if text.startswith("ADR ")]
    assert [text for text, name in numbered if int(text.split()[1]) != int(name[:4])] == []


def test_the_operators_manual_has_every_metric_and_reason() -> None:
    manual, own = (ROOT / "docs/operator.md").read_text(), PACKAGE
    metrics = re.findall(r'"(modelroute_[a-z_]+)"', (own / "controller/metrics.py").read_text())
    told = [
        (own / f"{name}.py").read_text()
        for name in ("planning/status/conditions", "planning/unresolved", "controller/outcome")
    ]
    reasons = {word for text in told for word in re.findall(r'"([A-Z][a-z]+(?:[A-Z][A-Za-z]+)+)"', text)} - FINE
    assert [name for name in {*metrics, *reasons} if name not in manual] == []


FINE = {"ResolvedRefs", "AllBackendsReady", "RoutersUpToDate", "SnapshotWritten"}
"""Types, and reasons of what is as it should be."""
