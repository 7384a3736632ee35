#!/usr/bin/env bash
# Tests and measures the operators on a machine with an NVIDIA GPU, without network.
#
#   benchmarks/gpu.sh [--wheels FOLDER] [--output FOLDER] [--quick] [--skip-tests] [--skip-sanitizer]
#   benchmarks/gpu.sh --build-mamba SDIST [--output FOLDER]
#
# --wheels FOLDER     holds the wheel of this package built with SWIN_UMAMBA_CUDA=1, and wheels of what else the
#                     machine's Python lacks: pytest for the tests, monai for the training steps (einops, which
#                     monai's blocks and mamba-ssm's scan need), mamba_ssm (see --build-mamba) for the baselines;
#                     without it the installed packages are used
# --output FOLDER     where the table and the logs go; default benchmarks/results
# --quick             fewer repetitions and no training steps
# --skip-tests, --skip-sanitizer
#                     leave out the operator tests, compute-sanitizer
# --build-mamba SDIST build mamba-ssm's wheel for this machine's GPU from its sdist into the output folder and
#                     stop; its scan is the baseline of the table, which has gaps without it
#
# The steps are bounded: tests 150 s, sanitizer 120 s, measurements 270 s at most.
set -euo pipefail

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; }
fail() {
  echo "gpu.sh: $*" >&2
  exit 1
}

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
wheels="" output=$root/benchmarks/results sdist="" run_tests=1 run_sanitizer=1
measure=()
while [ $# -gt 0 ]; do
  case $1 in
    --wheels | --output | --build-mamba)
      [ $# -ge 2 ] || fail "$1 needs an argument; see $0 --help"
      case $1 in
        --wheels) wheels=$2 ;;
        --output) output=$2 ;;
        --build-mamba) sdist=$2 ;;
      esac
      shift 2
      ;;
    --quick)
      measure+=(--quick)
      shift
      ;;
    --skip-tests)
      run_tests=0
      shift
      ;;
    --skip-sanitizer)
      run_sanitizer=0
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) fail "unknown argument \"$1\"; see $0 --help" ;;
  esac
done
mkdir -p "$output"
output=$(cd "$output" && pwd)

if [ -n "$sdist" ]; then
  [ -f "$sdist" ] || fail "no such file: $sdist"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  tar -xzf "$sdist" -C "$work" --strip-components 1
  # Only this GPU's architecture, of its ten: without them torch asks for those of TORCH_CUDA_ARCH_LIST.
  sed -i -E 's/cc_flag\.append\("(-gencode|arch=compute_[^"]*)"\)/pass/' "$work/setup.py"
  TORCH_CUDA_ARCH_LIST=$("$python" -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())')
  export TORCH_CUDA_ARCH_LIST
  MAMBA_FORCE_BUILD=TRUE MAMBA_KEEP_CUDA_BUILD=TRUE "$python" -m pip wheel --no-index --no-deps \
    --no-build-isolation --wheel-dir "$output" "$work"
  exit 0
fi

"$python" - <<'EOF' || fail "no GPU to measure; the tests without one are: python -m pytest tests/emulation"
import sys
try:
    import torch
except ImportError:
    sys.exit("torch is not installed")
if torch.version.cuda is None:
    sys.exit(f"torch {torch.__version__} is built without CUDA")
if not torch.cuda.is_available():
    sys.exit("torch sees no CUDA device; nvidia-smi says what the driver sees")
EOF

if [ -n "$wheels" ]; then
  [ -d "$wheels" ] || fail "no such folder: $wheels"
  found=("$wheels"/swin_umamba_ext-*.whl)
  [ -f "${found[0]}" ] || fail "$wheels has no swin_umamba_ext-*.whl; build it with SWIN_UMAMBA_CUDA=1 pip wheel --no-deps ."
  # Only what is missing: never another torch.
  for wheel in "$wheels"/*.whl; do
    name=$(basename "$wheel")
    case ${name%%-*} in torch | nvidia_* | triton) continue ;; esac
    options=(--no-index --no-deps --quiet)
    case $name in swin_umamba_ext-*) options+=(--force-reinstall) ;; esac
    "$python" -m pip install "${options[@]}" "$wheel"
  done
fi

# Away from the checkout, so that the installed package is imported and not the folder of that name.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tests"
cp -r "$root"/tests/{__init__.py,gpu,problems} "$work/tests"
cp "$root"/benchmarks/gpu.py "$root"/benchmarks/cuda_model.py "$work"
cd "$work"
# What is installed and whether the operators work; its exit status tells of the CPU too.
"$python" -m swin_umamba_ext 2>&1 | tee "$output/gpu_report.txt" || true
"$python" - <<'EOF' || fail "no CUDA operators; give with --wheels the folder of a wheel built with SWIN_UMAMBA_CUDA=1"
import sys
from swin_umamba_ext import library
sys.exit(None if library.CUDA_LIBRARY else f"{library.FOLDER} has no CUDA library")
EOF

status=0
if [ $run_tests = 1 ]; then
  echo "== operator tests on the GPU"
  timeout 150 "$python" -m pytest -m gpu -q -p no:cacheprovider "$work/tests" 2>&1 | tee "$output/gpu_tests.txt" || status=1
fi
if [ $run_sanitizer = 1 ]; then
  sanitizer=$(command -v compute-sanitizer || true)
  for candidate in /usr/local/cuda*/bin/compute-sanitizer; do
    [ -n "$sanitizer" ] || [ ! -x "$candidate" ] || sanitizer=$candidate
  done
  if [ -z "$sanitizer" ]; then
    echo "== compute-sanitizer was not found: memcheck and racecheck are left out" | tee "$output/gpu_sanitizer.txt"
  else
    : >"$output/gpu_sanitizer.txt"
    # Only this package's kernels: torch's are many, and instrumented they take minutes.
    # The option's name differs between versions.
    filter=()
    case $("$sanitizer" --help 2>&1 || true) in
      *"--kernel-name "*) filter=(--kernel-name kns=swin_umamba) ;;
      *"--kernel-regex "*) filter=(--kernel-regex kns=swin_umamba) ;;
    esac
    for tool in memcheck racecheck; do
      echo "== compute-sanitizer $tool"
      PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout 60 "$sanitizer" --tool $tool --error-exitcode 9 \
        "${filter[@]+"${filter[@]}"}" "$python" gpu.py --sanitize 2>&1 | tee -a "$output/gpu_sanitizer.txt" || status=1
    done
  fi
fi
echo "== measurements"
timeout 270 "$python" gpu.py --output "$output/gpu.txt" "${measure[@]+"${measure[@]}"}" || status=1
exit $status
