"""Builds the operators' shared libraries and divides the project in two; all else about it is in pyproject.toml.

Environment variables:

SWIN_UMAMBA_PART : all (default), operators or product
    all is the distribution swin-umamba with both packages. operators is swin-umamba-ext, which needs torch and numpy
    alone; product is swin-umamba without it, which asks for it instead. A source distribution of the operators makes
    no other part; one of the product is refused, which without the operators' sources would build neither.
SWIN_UMAMBA_CUDA : auto (default), 0 or 1
    auto builds the CUDA backend when the installed torch has CUDA and nvcc is found; 1 demands it, and needs
    only nvcc; 0 leaves it out. Whether a GPU is visible plays no part.
TORCH_CUDA_ARCH_LIST
    The CUDA architectures to compile, for instance "8.0;9.0+PTX"; the default depends on nvcc's version.
MAX_JOBS
    How many files to compile at a time.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent

try:
    import torch
    from setuptools import Distribution, find_packages, setup
    from torch.utils import cpp_extension
except ImportError as error:
    sys.exit(
        f"swin-umamba: cannot build, {error}. Install torch>=2.10 and setuptools first, or build with isolation "
        f"(pip install . without --no-build-isolation)."
    )

# The stable ABI of this torch and of this Python, and all later ones.
TORCH_TARGET_VERSION = "0x020a000000000000"
PYTHON_TAG = "cp310"

OPERATORS = "swin-umamba-ext"
OPERATORS_SUMMARY = "The selective scans of Swin-UMamba as operators of PyTorch, with C++ and CUDA kernels"
OPERATORS_NEED = ("torch", "numpy")

INSTRUCTION_SETS = "csrc/kernels/cpu/instruction_sets.def"
NVCC_FLAGS = ["-std=c++17", "-O3", "--expt-relaxed-constexpr"]
CUDA_HEADER = "include/cuda_runtime.h"
# PTX of 8.0 too: 8.7 and 11.0 have no compiled kernels of their own here.
CUDA_ARCHITECTURES = "8.0+PTX;8.6;8.9;9.0;10.0;12.0+PTX"
OLDER_CUDA_ARCHITECTURES = "8.0+PTX;8.6;8.9;9.0+PTX"  # of nvcc before 12.8, which does not know the last two


def sources(*patterns: str) -> list[str]:
    return [str(path.relative_to(ROOT)) for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def chosen_part() -> str:
    part = os.environ.get("SWIN_UMAMBA_PART", "all").lower()
    if part not in ("all", "operators", "product"):
        sys.exit(f'swin-umamba: SWIN_UMAMBA_PART is "{part}"; it must be all, operators or product.')
    return part if (ROOT / "python").is_dir() else "operators"


PART = chosen_part()
if PART == "product" and "sdist" in sys.argv:
    sys.exit(
        "swin-umamba: SWIN_UMAMBA_PART=product makes no source distribution, since its wheel fits every machine: "
        "make that (SWIN_UMAMBA_PART=product pip wheel --no-deps .), or a source distribution of operators or all."
    )


class PartOfProject(Distribution):
    """What pyproject.toml says of the project, as far as it is true of the part that is built."""

    def parse_config_files(self, *arguments, **options) -> None:
        super().parse_config_files(*arguments, **options)
        if PART == "operators":
            self.metadata.name = OPERATORS
            self.metadata.description = OPERATORS_SUMMARY
            names = [re.match(r"[\w-]+", wish)[0] for wish in self.install_requires]
            wishes = dict(zip(names, self.install_requires, strict=True))
            self.install_requires = [wishes[name] for name in OPERATORS_NEED]
            self.extras_require, self.entry_points = {}, {}
            self.metadata.provides_extras.clear()
        elif PART == "product":
            self.install_requires = [f"{OPERATORS}=={self.metadata.version}", *self.install_requires]
        self.metadata.install_requires, self.metadata.extras_require = self.install_requires, self.extras_require


def find_nvcc() -> Path | None:
    homes = [os.environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH")]
    found = [Path(home) / "bin" / "nvcc" for home in homes if home] + [Path(p) for p in [shutil.which("nvcc")] if p]
    found += [Path("/usr/local/cuda/bin/nvcc"), *sorted(Path("/usr/local").glob("cuda-*/bin/nvcc"), reverse=True)]
    # A script of that name elsewhere may only forward to a toolkit, whose headers and libraries are needed too.
    return next((nvcc for nvcc in found if nvcc.is_file() and list(nvcc.parents[1].glob(CUDA_HEADER))), None)


def default_architectures(nvcc: Path) -> str:
    try:
        text = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        text = str(error)
    release = re.search(r"release (\d+)\.(\d+)", text)
    if release is None:
        sys.exit(
            f'swin-umamba: "{nvcc} --version" names no release but says "{text.strip()}". Set CUDA_HOME to the '
            f"folder of a toolkit that works, or TORCH_CUDA_ARCH_LIST to the architectures to compile, for instance "
            f'"9.0+PTX"; or build for the CPU alone with SWIN_UMAMBA_CUDA=0.'
        )
    new = tuple(int(number) for number in release.groups()) >= (12, 8)
    return CUDA_ARCHITECTURES if new else OLDER_CUDA_ARCHITECTURES


def want_cuda() -> bool:
    choice = os.environ.get("SWIN_UMAMBA_CUDA", "auto").lower()
    if choice not in ("auto", "0", "1"):
        sys.exit(f'swin-umamba: SWIN_UMAMBA_CUDA is "{choice}"; it must be auto, 0 or 1.')
    nvcc = find_nvcc()
    if choice == "1" and nvcc is None:
        sys.exit(
            "swin-umamba: SWIN_UMAMBA_CUDA=1, but no CUDA toolkit (bin/nvcc and its headers) was found. Install "
            "version 12 or later, for architectures 10.0 and 12.0 version 12.8 or later (Debian: apt install "
            "nvidia-cuda-toolkit; or NVIDIA's package cuda-toolkit), put nvcc on PATH or set CUDA_HOME to the folder "
            "that holds bin/nvcc; or build for the CPU alone with SWIN_UMAMBA_CUDA=0."
        )
    wanted = choice == "1" or (choice == "auto" and torch.version.cuda is not None and nvcc is not None)
    if wanted:
        cpp_extension.CUDA_HOME = str(nvcc.parents[1])  # a CPU torch reports none
        if not os.environ.get("TORCH_CUDA_ARCH_LIST"):
            os.environ["TORCH_CUDA_ARCH_LIST"] = default_architectures(nvcc)
    return wanted


def find_compiler() -> list[str]:
    compiler = os.environ.get("CXX", "c++").split()
    if sys.platform == "win32":
        sys.exit("swin-umamba: the kernels need GCC or Clang; on Windows, build inside WSL 2.")
    if shutil.which(compiler[0]) is None:
        sys.exit(
            f'swin-umamba: no C++ compiler: "{compiler[0]}" was not found. Install one (Debian, Ubuntu: apt '
            f"install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install) or set CXX to it."
        )
    return compiler


def compiler_flags() -> tuple[list[str], dict[str, list[str]]]:
    """The flags of all C++ sources, and by name those that each instruction set of the compiler's target adds."""
    preprocess = [*find_compiler(), "-E", "-P", "-xc++", INSTRUCTION_SETS]
    done = subprocess.run(preprocess, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().partition("\n")[0]
        sys.exit(f'swin-umamba: "{shlex.join(preprocess)}" failed: {reason}. Set CXX to GCC or Clang.')
    common = shlex.split(re.search(r'SWIN_FLAGS\("(.*?)"\)', done.stdout)[1])
    common += ["-g0", f"-DTORCH_TARGET_VERSION={TORCH_TARGET_VERSION}"]
    common.append(f"-ffile-prefix-map={ROOT}=.")  # no paths of this machine in the library
    return common, {name: shlex.split(flags) for name, flags in re.findall(r'SWIN_SET\((\w+), "(.*?)"', done.stdout)}


class BuildKernels(cpp_extension.BuildExtension):
    """Compiles ``kernel_sources`` of an extension once for each of ``kernel_flags``, then the extension."""

    def build_extension(self, extension) -> None:
        for name, flags in getattr(extension, "kernel_flags", {}).items():
            arguments = {
                "output_dir": str(Path(self.build_temp) / name),
                "include_dirs": extension.include_dirs,
                "extra_postargs": {"cxx": flags},
                "depends": extension.depends,
            }
            extension.extra_objects += self.compiler.compile(extension.kernel_sources, **arguments)
        super().build_extension(extension)


def extensions() -> list:
    cxx_flags, instruction_sets = compiler_flags()
    cpu = cpp_extension.CppExtension(
        "swin_umamba_ext._C",
        sources("csrc/torch/*.cpp", "csrc/torch/cpu/*.cpp", "csrc/kernels/cpu/dispatch.cpp"),
        extra_compile_args={"cxx": cxx_flags},
        depends=sources("csrc/**/*.h", "csrc/kernels/cpu/*.*"),
        py_limited_api=True,
    )
    cpu.kernel_sources = [s for s in sources("csrc/kernels/cpu/*.cpp") if not s.endswith("dispatch.cpp")]
    cpu.kernel_flags = {name: [*cxx_flags, f"-DSWIN_ISA={name}", *flags] for name, flags in instruction_sets.items()}
    built = [cpu]
    if want_cuda():
        cuda = cpp_extension.CUDAExtension(
            "swin_umamba_ext._cuda",
            sources("csrc/torch/cuda/*.cpp", "csrc/kernels/cuda/*.cu"),
            extra_compile_args={"cxx": cxx_flags, "nvcc": NVCC_FLAGS},
            depends=sources("csrc/**/*.h"),
            py_limited_api=True,
        )
        # Not torch's CUDA libraries, which a CPU torch lacks (csrc/torch/cuda/operators.cpp finds what it needs of
        # them). With the static CUDA runtime the wheel does not ask for one version of the dynamic one.
        dynamic = {"cudart", "c10_cuda", "torch_cuda"}
        cuda.libraries = [name for name in cuda.libraries if name not in dynamic]
        cuda.libraries += ["cudart_static", "dl", "rt", "pthread"]
        built.append(cuda)
    return built


setup(
    distclass=PartOfProject,
    packages=[
        *(find_packages(include=["swin_umamba_ext*"]) if PART != "product" else []),
        *(find_packages("python") if PART != "operators" else []),
    ],
    ext_modules=extensions() if PART != "product" else [],
    cmdclass={"build_ext": BuildKernels},
    options={
        "bdist_wheel": {"py_limited_api": PYTHON_TAG},
        # All that lies there goes into a wheel, that of another part too.
        "build": {} if PART == "all" else {"build_lib": f"build/lib.{PART}"},
    },
)
