"""Which instruction sets are compiled, and which one is chosen."""

from __future__ import annotations

import json
import platform
import re
import runpy
import shlex
from pathlib import Path

import pytest

from .build import ROOT, run
from .conftest import Kernels

LIST = (ROOT / "csrc" / "kernels" / "cpu" / "instruction_sets.def").read_text()
# The sets for x86-64: name, flags, condition.
X86_SETS = re.findall(r'SWIN_SET\((\w+), "(.*?)", (.*)\)', LIST.partition("__x86_64__")[2].partition("\n#e")[0])
CPUINFO = Path("/proc/cpuinfo")


def _plain(name: str) -> str:
    """What compilers call sse4.2 and avx512bf16, Linux calls sse4_2 and avx512_bf16."""
    return re.sub("[._]", "", name)


def _features(flags: list[str]) -> set[str]:
    """What a processor must have for code with these flags."""
    return {_plain(flag.removeprefix("-m")) for flag in flags if flag.startswith("-m") and "=" not in flag}


def test_each_set_runs_as_named(kernel_sets):
    assert [kernels.cpu_kernels() for kernels in kernel_sets] == [kernels.name for kernels in kernel_sets]
    assert kernel_sets[0].name == "portable"


@pytest.mark.skipif(
    "x86_64" not in platform.machine() or not CPUINFO.exists(), reason="reads what Linux says of x86-64"
)
def test_sets_are_those_of_the_processor(kernel_sets):
    has = set(map(_plain, re.search(r"^flags\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE)[1].split()))
    wanted = ["portable", *(name for name, flags, _ in X86_SETS if _features(flags.split()) <= has)]
    assert [kernels.name for kernels in kernel_sets] == wanted


def test_sets_ask_for_what_they_are_compiled_for():
    asked = set()
    for name, flags, condition in X86_SETS:
        asked |= set(re.findall(r'supports\("([\w.]+)"\)|has_(\w+)\(\)', condition))
        assert {_plain(builtin or own) for builtin, own in asked} == _features(flags.split()), name


@pytest.mark.parametrize("page", ["docs/operators.md", "docs/install.md"])
def test_the_pages_have_every_set(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [name for name, _, _ in X86_SETS if f"`{name}`" not in text] == []


def test_widest_set_is_the_default(module, kernel_sets):
    default = Kernels(module, "")
    assert default.cpu_kernels() == kernel_sets[-1].name
    default.close()


def test_unknown_set(module):
    kernels = Kernels(module, "sse9")
    with pytest.raises(RuntimeError, match='SWIN_UMAMBA_CPU is "sse9", but this build and processor have only: port'):
        kernels.cpu_kernels()
    kernels.close()


def _code_flags(flags: list[str]) -> set[str]:
    """The flags on which the kernels' code depends: not those of warnings, paths, the kind of library, or torch."""
    kinds, others = ("-m", "-std", "-O", "-f", "-DSWIN_"), ("-fPIC", "-ffile-prefix-map")
    return {flag for flag in flags if flag.startswith(kinds) and not flag.startswith(others)}


def test_cmake_and_setup_read_the_same_flags(module, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["setup.py", "--version"])
    monkeypatch.setenv("SWIN_UMAMBA_CUDA", "0")
    common, sets = runpy.run_path("setup.py")["compiler_flags"]()
    wanted = {frozenset(_code_flags([*common, f"-DSWIN_ISA={name}", *flags])) for name, flags in sets.items()}
    assert {"-std=c++17", "-O3"} <= set(common)
    commands = json.loads((module.parents[1] / "compile_commands.json").read_text())
    seen = {c["file"]: set() for c in commands}
    for c in commands:
        seen[c["file"]].add(frozenset(_code_flags(shlex.split(c["command"]))))
    assert seen[str(ROOT / "csrc/kernels/cpu/dispatch.cpp")] == {frozenset(_code_flags(common))}
    for source in set((ROOT / "csrc/kernels/cpu").glob("*.cpp")) - {ROOT / "csrc/kernels/cpu/dispatch.cpp"}:
        assert seen[str(source)] == wanted, source


def test_linker_cannot_give_code_of_one_set_to_another(module, kernel_sets):
    for name in (kernels.name for kernels in kernel_sets):
        objects = list((module.parents[1] / "CMakeFiles" / f"kernels_{name}.dir").rglob("*.o"))
        assert objects
        symbols = run(["nm", "--demangle", "--defined-only", *map(str, objects)]).stdout
        visible = {line[19:] for line in symbols.splitlines() if line[17:18].isupper() and line[17:18] not in "RV"}
        own = rf"(.* )?swin_umamba::{name}::"
        assert visible
        assert [symbol for symbol in visible if not re.match(own, symbol)] == []
