"""Which instruction sets are compiled, and which one is chosen."""

from __future__ import annotations

import ast
import json
import platform
import re
import shlex
from pathlib import Path

import pytest

from .build import ROOT
from .conftest import Kernels

NEEDS = {
    "avx2": {"avx2", "fma", "f16c"},
    "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
}
X86 = platform.machine().lower() in ("x86_64", "amd64")


def test_each_set_runs_as_named(kernel_sets):
    assert [kernels.cpu_kernels() for kernels in kernel_sets] == [kernels.name for kernels in kernel_sets]
    assert kernel_sets[0].name == "portable"


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists() or not X86, reason="reads the flags that Linux gives on x86-64")
def test_sets_are_those_of_the_processor(kernel_sets):
    flags = set(re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)[1].split())
    wanted = ["portable", *(name for name, needs in NEEDS.items() if needs <= flags)]
    assert [kernels.name for kernels in kernel_sets] == wanted


def test_widest_set_is_the_default(module, kernel_sets):
    default = Kernels(module, "")
    assert default.cpu_kernels() == kernel_sets[-1].name
    default.close()


def test_unknown_set(module):
    kernels = Kernels(module, "sse9")
    with pytest.raises(RuntimeError, match='SWIN_UMAMBA_CPU is "sse9", but this build and processor have only: port'):
        kernels.cpu_kernels()
    kernels.close()


def _flags_of_setup() -> tuple[dict[str, list[str]], list[str]]:
    """INSTRUCTION_SETS and CXX_FLAGS of setup.py, without running the rest of it."""
    names = {"INSTRUCTION_SETS", "CXX_FLAGS", "X86", "TORCH_TARGET_VERSION"}

    def is_about_flags(statement: ast.stmt) -> bool:
        seen = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        return isinstance(statement, (ast.Assign, ast.AugAssign, ast.Expr, ast.If)) and bool(seen & names)

    tree = ast.parse((ROOT / "setup.py").read_text())
    tree.body = [statement for statement in tree.body if is_about_flags(statement)]
    values = {"platform": platform, "ROOT": ROOT}
    exec(compile(tree, "setup.py", "exec"), values)
    return values["INSTRUCTION_SETS"], values["CXX_FLAGS"]


def _code_flags(flags: list[str]) -> set[str]:
    """The flags on which the kernels' code depends: not those of warnings, paths, the kind of library, or torch."""
    return {
        flag
        for flag in flags
        if flag.startswith(("-m", "-std", "-O", "-f", "-DSWIN_"))
        and not flag.startswith(("-fPIC", "-ffile-prefix-map", "-DSWIN_ISA"))
    }


def _cmake_flags(module: Path, source: str, definition: str = "") -> list[set[str]]:
    commands = json.loads((module.parents[1] / "compile_commands.json").read_text())
    folder = str(ROOT / "csrc" / "kernels" / "cpu")
    flags = [shlex.split(c["command"]) for c in commands if c["file"].startswith(folder) and source in c["file"]]
    return [_code_flags(f) for f in flags if definition in ["", *f]]


def test_cmake_and_setup_compile_with_the_same_flags(module):
    sets, base = _flags_of_setup()
    assert {"-std=c++17", "-O3"} <= _code_flags(base)
    assert _cmake_flags(module, "dispatch.cpp") == [_code_flags(base)]
    for name, flags in sets.items():
        cmake = _cmake_flags(module, ".cpp", f"-DSWIN_ISA={name}")
        assert cmake, f"CMakeLists.txt does not compile the set {name}"
        assert all(seen == _code_flags([*base, *flags]) for seen in cmake), name


def test_sets_need_what_they_are_compiled_for():
    sets, _ = _flags_of_setup()
    assert set(sets) == ({"portable", *NEEDS} if X86 else {"portable"})
    for name, flags in sets.items():
        machine = {f.removeprefix("-m") for f in flags if f.startswith("-m") and "=" not in f}
        assert machine == (set() if name == "portable" else NEEDS["avx2"] | NEEDS[name]), name
