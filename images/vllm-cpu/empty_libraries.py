#!/usr/bin/env python3
"""Let torch's CUDA build import where there is no CUDA, by empty libraries in place of a few gigabytes.

The Dockerfile runs this once with the virtual environment's Python; it needs `as` and `ld`. The torch wheel of the
package index is linked with CUDA's libraries, and half of it is code for GPUs. This removes torch's own GPU libraries
and writes, for every library that is then asked for and missing, one that defines what is asked of it. No function
there is ever called to compute: those of CUDA return 100, which means "no device", so `torch.cuda.is_available()` is
False. The result is for CPUs only.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

GPU_ONLY = ("libtorch_cuda.so", "libtorch_cuda_linalg.so", "libtorch_nvshmem.so")
_CUDA_LIBRARY = re.compile(r"lib(cu|nv|nccl)")
_CUDA_SYMBOL = re.compile(r"(__)?cu([A-Z]|da|blas|dnn|fft|file|pti|rand|solver|sparse)|nccl|nv(rtc|Jit|tx|shmem)")
_TEXT = re.compile(r"(Error|Status)(String|Name)|GetLastErrorMessage")
_ZERO = {"cudaGetLastError", "cudaPeekAtLastError", "cudaStreamIsCapturing"}
_CONSTRUCTOR = re.compile(r"C[12]E\w")
_RTTI = "_ZTVN10__cxxabiv117__class_type_infoE"


@dataclass
class Library:
    """What one shared library gives and asks for."""

    needed: list[str] = field(default_factory=list)
    defined: dict[str, str] = field(default_factory=dict)  # symbol: its type, as readelf names it
    asked: dict[str, str] = field(default_factory=dict)  # symbol: its version, or "" for none
    versions: dict[str, str] = field(default_factory=dict)  # version: the library it is asked of


def tool(*command: str | Path) -> str:
    """Run one of binutils' tools and give its output."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 - fixed commands


def read(path: Path) -> Library:
    """Read a library's dynamic section."""
    found = Library()
    file = ""
    for line in tool("readelf", "-W", "-d", "-V", "--dyn-syms", path).splitlines():
        if match := re.search(r"\(NEEDED\).*\[(.+)\]", line):
            found.needed.append(match[1])
        elif match := re.search(r"Version: \d+  File: (\S+)", line):
            file = match[1]
        elif match := re.search(r"Name: (\S+)  Flags", line):
            found.versions[match[1]] = file
        elif match := re.match(r" *\d+: \S+ +\d+ (\S+) +(\S+) +\S+ +(\S+) (\S+)", line):
            kind, binding, section, symbol = match.groups()
            name, _, version = symbol.partition("@")
            if section != "UND":
                found.defined[name] = kind
            elif binding == "GLOBAL":
                found.asked[name] = version.strip("@")
    return found


def plan(libraries: Iterable[Library], present: set[str], removed: dict[str, str]) -> dict[str, dict[str, set[str]]]:
    """Which symbols each missing library must define, by version; `removed` are those of the libraries taken away."""
    libraries = list(libraries)
    needed = {name for lib in libraries for name in lib.needed} - present
    missing = {name for name in needed if name in GPU_ONLY or _CUDA_LIBRARY.match(name)}
    runtime = min(n for n in missing if n.startswith("libcudart"))
    given = {name for lib in libraries for name in lib.defined}
    wanted: dict[str, dict[str, set[str]]] = {name: {} for name in missing}
    for lib in libraries:
        for symbol, version in lib.asked.items():
            if lib.versions.get(version) in missing:
                wanted[lib.versions[version]].setdefault(version, set()).add(symbol)
            elif not version and symbol not in given and (symbol in removed or _CUDA_SYMBOL.match(symbol)):
                home = GPU_ONLY[0] if symbol in removed else runtime
                wanted[home].setdefault("", set()).add(symbol)
    return wanted


def cuda_source(symbols: Iterable[str]) -> Iterator[str]:
    """The source of one of CUDA's libraries: every function says that there is no device."""
    for name in sorted(symbols):
        value = "leaq text(%rip),%rax" if _TEXT.search(name) else f"movl ${0 if name in _ZERO else 100},%eax"
        yield f".text\n.globl {name}\n.type {name},@function\n{name}: {value}\n ret"
    yield '.section .rodata\ntext: .string "no CUDA device: this library is empty"'


def torch_source(symbols: Iterable[str], kinds: dict[str, str]) -> Iterator[str]:
    """The source of torch's library for GPUs, in C++: what is asked for at start must look right, and nothing more.

    Its functions return the address of a page, into which a caller may write who asked for a reference, and which is no
    to a caller who asked for yes or no. What its constructors make is of a type of its own.
    """
    for name in sorted(symbols):
        if kinds[name] == "OBJECT":
            # Type information must name its type, as C++ looks types up by name; a table of functions is never read.
            typed = f'.quad {_RTTI}+16, 1f, 0\n1: .string "{name.removeprefix("_ZTI")}"'
            body = typed if name.startswith("_ZTI") else ".zero 4096"
            yield f".data\n.balign 16\n.globl {name}\n.type {name},@object\n.size {name},24\n{name}: {body}"
            continue
        made = "leaq table(%rip),%rax\n movq %rax,(%rdi)"
        value = made if _CONSTRUCTOR.search(name) else "leaq page(%rip),%rax"
        yield f".text\n.globl {name}\n.type {name},@function\n{name}: {value}\n ret"
    yield f'.data\n.balign 16\ntype: .quad {_RTTI}+16, 1f\n1: .string "5Empty"'
    yield ".balign 16\n.quad 0, type\ntable: .rept 64\n.quad nothing\n.endr"
    yield ".text\nnothing: ret\n.bss\n.balign 4096\npage: .zero 4096"


def build(path: Path, versions: dict[str, set[str]], removed: dict[str, str]) -> None:
    """Write one empty library."""
    with tempfile.TemporaryDirectory() as folder:
        source, script, code = (Path(folder, name) for name in ("stub.s", "stub.map", "stub.o"))
        symbols = {symbol for names in versions.values() for symbol in names}
        lines = torch_source(symbols, removed) if path.name in GPU_ONLY else cuda_source(symbols)
        source.write_text("\n".join([*lines, '.section .note.GNU-stack,"",@progbits', ""]))
        named = {version: names for version, names in versions.items() if version}
        script.write_text("".join(f"{v} {{ global: {'; '.join(sorted(names))}; }};\n" for v, names in named.items()))
        tool("as", "-o", code, source)
        options = [f"--version-script={script}"] if named else []
        tool("ld", "-shared", "-soname", path.name, *options, "-o", path, code)


def main() -> int:
    """Do it for the torch that this Python would import."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        print("empty_libraries.py: torch is not installed here", file=sys.stderr)
        return 1
    folder = Path(spec.origin).parent / "lib"
    removed: dict[str, str] = {}
    for name in GPU_ONLY:
        removed |= read(folder / name).defined
        (folder / name).unlink()
    present = sorted(folder.glob("*.so*"))
    wanted = plan(map(read, present), {path.name for path in present}, removed)
    for name, versions in wanted.items():
        build(folder / name, versions, removed)
    count = sum(len(names) for versions in wanted.values() for names in versions.values())
    print(f"{count} symbols in {len(wanted)} empty libraries: {' '.join(sorted(wanted))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
