"""``python -m swin_umamba_ext``: what is installed, what this machine offers, and whether the operators work."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

REINSTALL = "reinstall with `pip install --force-reinstall --no-deps .` from a checkout"


def package_version() -> str:
    """The version of the operators: their own distribution's, or that of the one that has them too."""
    for name in ("swin-umamba-ext", "swin-umamba"):
        with contextlib.suppress(PackageNotFoundError):
            return version(name)
    return "unknown (not installed by pip)"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


def _cuda_architectures(library: Path) -> str:
    """Architectures in a CUDA library, as the toolkit's cuobjdump lists them."""
    try:
        listing = subprocess.run(["cuobjdump", "--list-elf", str(library)], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown (needs cuobjdump of the CUDA toolkit)"
    return " ".join(sorted(set(re.findall(r"sm_\d+[a-z]?", listing.stdout)))) or "none"


def _gpus() -> list[str]:
    if not torch.cuda.is_available():
        return []
    names = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        names.append(f"{properties.name}, sm_{properties.major}{properties.minor}, {memory:.0f} GiB")
    return names


def _check_operator(device: str) -> str:
    """Compare ``ss2d`` and its gradient with the reference on ``device``; return the largest relative error."""
    from . import reference, ss2d

    generator = torch.Generator().manual_seed(0)
    shapes = [(1, 7, 9, 20), (4, 2 + 2 * 16, 20), (4, 20, 2), (4, 20), (80, 16), (80,)]
    arguments = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    arguments[4] = torch.arange(1, 17, dtype=torch.float64).log().repeat(80, 1)

    def run(function: Callable[..., torch.Tensor], dtype: torch.dtype, where: str) -> list[torch.Tensor]:
        inputs = [a.to(where, dtype).requires_grad_() for a in arguments]
        y = function(*inputs)
        return [y, *torch.autograd.grad(y.square().sum(), inputs)]

    wanted = run(reference.ss2d, torch.float64, "cpu")
    seen = run(ss2d, torch.float32, device)
    errors = [((s.cpu().double() - w).abs().max() / w.abs().max()).item() for s, w in zip(seen, wanted, strict=True)]
    if max(errors) > 1e-4:
        raise RuntimeError(f"ss2d differs from the reference by {max(errors):.1e} (relative); {REINSTALL}")
    return f"{max(errors):.1e}"


def main() -> int:
    """Print the report; return 1 if something that should work does not."""
    lines: list[tuple[str, str]] = [
        ("swin-umamba-ext", package_version()),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        (
            "torch",
            f"{torch.__version__}, CUDA {torch.version.cuda or 'not built in'}, {torch.get_num_threads()} threads",
        ),
    ]
    problems: list[str] = []
    try:
        from . import library
    except (ImportError, OSError) as error:
        problems.append(f"the compiled library does not load: {error}. To replace it, {REINSTALL}")
    else:
        backends = library.compiled_backends()
        lines += [("location", str(library.FOLDER)), ("compiled backends", ", ".join(backends))]
        lines.append(("processor", _processor()))
        try:
            lines.append(
                (
                    "CPU kernels",
                    f"{library.instruction_set()} in use of {', '.join(library.available_instruction_sets())}",
                )
            )
            lines.append(("ss2d on the CPU", f"works, relative error {_check_operator('cpu')}"))
        except RuntimeError as error:
            problems.append(str(error))
        gpus = _gpus()
        lines.append(("GPUs seen", "; ".join(gpus) or "none"))
        if "cuda" in backends:
            lines.append(("CUDA kernels", _cuda_architectures(next(library.FOLDER.glob("_cuda*.so")))))
        if gpus and "cuda" not in backends:
            problems.append("a GPU is here but the CUDA kernels were not compiled: SWIN_UMAMBA_CUDA=1 pip install .")
        elif gpus:
            try:
                lines.append(("ss2d on the GPU", f"works, relative error {_check_operator('cuda')}"))
            except RuntimeError as error:
                problems.append(f"ss2d on the GPU: {error}")
    width = max(len(name) for name, _ in lines)
    try:
        print("\n".join(f"{name:<{width}}  {text}" for name, text in lines), flush=True)
    except BrokenPipeError:  # whoever read it has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        # Python would try once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        problems.append(f"the report cannot be written: {error.strerror}")
    for problem in problems:
        print(f"PROBLEM: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
