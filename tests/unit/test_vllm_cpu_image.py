"""The recipe of the real vLLM's image: pinned wheels, and empty libraries for exactly what is asked for and missing."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "images" / "vllm-cpu"


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("empty_libraries", FOLDER / "empty_libraries.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_wheel_is_pinned_by_its_hash_and_no_registry_is_named() -> None:
    lines = [line for line in (FOLDER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9_.-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}", line)] == []
    assert len({line.split("==")[0] for line in lines}) == len(lines) > 90


def test_both_images_run_as_a_numbered_user_under_vllms_own_command() -> None:
    for image in ("vllm-cpu", "vllm-standin"):
        text = (FOLDER.parent / image / "Dockerfile").read_text()
        assert "\nUSER 65532:65532\n" in text
        assert text.endswith('ENTRYPOINT ["vllm", "serve"]\n')


def test_each_missing_library_gets_what_is_asked_of_it_under_the_version_asked(recipe: ModuleType) -> None:
    python = recipe.Library(
        needed=["libtorch_cuda.so", "libcudart.so.13", "libc10.so", "libm.so.6"],
        asked={
            "cudaMalloc": "libcudart.so.13",
            "_ZN2at3gpuEv": "",
            "c10_here": "",
            "cuLaunch": "",
            "sin": "GLIBC_2.2.5",
        },
        versions={"libcudart.so.13": "libcudart.so.13", "GLIBC_2.2.5": "libm.so.6"},
    )
    torch = recipe.Library(defined={"c10_here": "FUNC"})
    wanted = recipe.plan([python, torch], {"libc10.so"}, {"_ZN2at3gpuEv": "FUNC", "_ZN2at6unusedEv": "FUNC"})
    assert wanted == {
        "libtorch_cuda.so": {"": {"_ZN2at3gpuEv"}},
        "libcudart.so.13": {"libcudart.so.13": {"cudaMalloc"}, "": {"cuLaunch"}},
    }


def test_cudas_functions_say_that_there_is_no_device_and_texts_are_texts(recipe: ModuleType) -> None:
    source = "\n".join(recipe.cuda_source({"cudaMalloc", "cudaGetErrorString", "cudaGetLastError"}))
    assert "cudaMalloc: movl $100,%eax" in source
    assert "cudaGetErrorString: leaq text(%rip),%rax" in source
    assert "cudaGetLastError: movl $0,%eax" in source


def test_torchs_types_keep_their_names_and_its_constructors_make_something(recipe: ModuleType) -> None:
    kinds = {"_ZTI3Gpu": "OBJECT", "_ZTV3Gpu": "OBJECT", "_ZN3GpuC1Eb": "FUNC", "_ZN3Gpu2idEv": "FUNC"}
    source = "\n".join(recipe.torch_source(kinds, kinds))
    assert '1: .string "3Gpu"' in source
    assert "_ZTV3Gpu: .zero 4096" in source
    assert "_ZN3GpuC1Eb: leaq table(%rip),%rax\n movq %rax,(%rdi)" in source
    assert "_ZN3Gpu2idEv: leaq page(%rip),%rax" in source
