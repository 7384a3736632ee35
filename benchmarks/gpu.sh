#!/usr/bin/env bash
# Tests and measures the operators on a machine with an NVIDIA GPU, without network.
#
#   benchmarks/gpu.sh --first [--wheels FOLDER] [--output FOLDER]
#   benchmarks/gpu.sh [--wheels FOLDER] [--output FOLDER] [--quick] [--skip-tests] [--skip-sanitizer]
#   benchmarks/gpu.sh --build-mamba SDIST [--output FOLDER]
#
# --wheels FOLDER     holds the wheel of this package built with SWIN_UMAMBA_CUDA=1, and wheels of what else the
#                     machine's Python lacks: pytest for the tests, monai for the training steps (einops, which
#                     monai's blocks and mamba-ssm's scan need), mamba_ssm (see --build-mamba) for the baselines;
#                     without it the installed packages are used
# --output FOLDER     where the table and the logs go; default benchmarks/results
# --first             what tells most, for a loan of minutes: every operator against the CPU kernels, the device's own
#                     ceilings, the tests, what each kernel takes, ncu and the sanitizers; mamba-ssm's wheel is built
#                     beside these if FOLDER has its sdist. At most 430 s. Without it: the table, at most 560 s.
# --quick             fewer repetitions and no training steps
# --skip-tests, --skip-sanitizer
#                     leave out the operator tests, compute-sanitizer
# --build-mamba SDIST build mamba-ssm's wheel for this machine's GPU from its sdist into the output folder and
#                     stop; its scan is the baseline of the table, which has gaps without it
#
# The steps are bounded: operators 20 s, tests 150 s, sanitizer 120 s, measurements 270 s at most.
# REHEARSE=1 takes the CPU for what can run there and leaves out the rest.
# An operator that fails runs again alone under memcheck, and nothing else does.
set -euo pipefail

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; }
fail() {
  echo "gpu.sh: $*" >&2
  exit 1
}

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
wheels="" output=$root/benchmarks/results sdist="" run_tests=1 run_sanitizer=1 first=0
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
    --first)
      first=1
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

device=(--device cuda)
[ -z "${REHEARSE:-}" ] || device=(--device cpu)
[ -n "${REHEARSE:-}" ] || "$python" - <<'EOF' || fail "no GPU to measure; the tests without one are: python -m pytest tests/emulation"
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
[ -n "${REHEARSE:-}" ] || "$python" - <<'EOF' || fail "no CUDA operators; give with --wheels the folder of a wheel built with SWIN_UMAMBA_CUDA=1"
import sys
from swin_umamba_ext import library
sys.exit(None if library.CUDA_LIBRARY else f"{library.FOLDER} has no CUDA library")
EOF

sanitizer=$(command -v compute-sanitizer || true)
for candidate in /usr/local/cuda*/bin/compute-sanitizer; do
  [ -n "$sanitizer" ] || [ ! -x "$candidate" ] || sanitizer=$candidate
done
# Only this package's kernels: torch's are many, and instrumented they take minutes.
# The option's name differs between versions.
filter=()
if [ -n "$sanitizer" ]; then
  case $("$sanitizer" --help 2>&1 || true) in
    *"--kernel-name "*) filter=(--kernel-name kns=swin_umamba) ;;
    *"--kernel-regex "*) filter=(--kernel-regex kns=swin_umamba) ;;
  esac
fi
check() { # TOOL SECONDS, then what gpu.py is to do
  PYTORCH_NO_CUDA_MEMORY_CACHING=1 timeout "$2" "$sanitizer" --tool "$1" --error-exitcode 9 \
    "${filter[@]+"${filter[@]}"}" "$python" gpu.py "${@:3}" 2>&1
}

echo "== every operator against the CPU kernels"
operators=(ss2d selective_scan cross_scan cross_merge)
pids=()
for operator in "${operators[@]}"; do
  timeout 60 "$python" gpu.py --smoke "$operator" "${device[@]}" >"smoke_$operator.txt" 2>&1 &
  pids+=($!)
done
failed=()
for i in "${!operators[@]}"; do
  wait "${pids[$i]}" || failed+=("${operators[$i]}")
done
cat smoke_*.txt | tee "$output/gpu_smoke.txt"
if [ ${#failed[@]} -gt 0 ]; then
  [ -z "$sanitizer" ] || check memcheck 90 --smoke "${failed[0]}" | tail -n 60 | tee "$output/gpu_memcheck.txt" || true
  fail "${failed[*]}: wrong or crashed; $output/gpu_smoke.txt says how"
fi

status=0
run_sanitizers() {
  if [ -z "$sanitizer" ]; then
    echo "== compute-sanitizer was not found: its checks are left out" | tee "$output/gpu_sanitizer.txt"
    return
  fi
  echo "== compute-sanitizer"
  local tool tools=(memcheck racecheck synccheck) pids=() i
  for tool in "${tools[@]}"; do
    check "$tool" 80 --sanitize >"sanitizer_$tool.txt" &
    pids+=($!)
  done
  for i in "${!tools[@]}"; do
    wait "${pids[$i]}" || status=1
  done
  tail -n 20 sanitizer_*.txt | tee "$output/gpu_sanitizer.txt"
}
run_gpu_tests() { # SECONDS, then further arguments of pytest
  echo "== operator tests on the GPU"
  local workers=()
  "$python" -c 'import xdist' 2>/dev/null && workers=(-n 3)
  timeout "$1" "$python" -m pytest -m gpu -q -p no:cacheprovider "${workers[@]+"${workers[@]}"}" "${@:2}" "$work/tests" 2>&1 |
    tee "$output/gpu_tests.txt" || status=1
}

if [ -n "${REHEARSE:-}" ]; then
  run_gpu_tests() { echo "rehearsal: no tests on the GPU"; }
  run_sanitizers() { echo "rehearsal: no sanitizers"; }
fi
if [ $first = 1 ]; then
  building=""
  for found in "${wheels:-.}"/mamba_ssm-*.tar.gz; do
    [ -f "$found" ] || continue
    PYTHON=$python "$root/benchmarks/gpu.sh" --build-mamba "$found" --output "$output" >"$output/gpu_mamba.txt" 2>&1 &
    building=$!
  done
  echo "== what the device reaches"
  timeout 20 "$python" gpu.py --ceilings "${device[@]}" | tee "$output/gpu_ceilings.txt" || status=1
  run_gpu_tests 90 -k 'not more_than_2_to_31'
  echo "== what each kernel takes"
  timeout 60 "$python" gpu.py --kernels "${device[@]}" --output "$output/gpu_kernels.csv" >/dev/null || status=1
  if [ -z "${REHEARSE:-}" ] && command -v ncu >/dev/null; then
    for shape in 80x80x192 10x10x1536; do
      timeout 45 ncu --set full --kernel-name regex:forward_kernel\|adjoint_kernel\|gradient_kernel --launch-count 12 \
        --page raw --csv "$python" gpu.py --one ss2d $shape 8 >"$output/gpu_ncu_$shape.csv" 2>&1 || status=1
    done
  fi
  run_sanitizers
  [ -z "$building" ] || kill -0 "$building" 2>/dev/null || wait "$building" || status=1
  cat "$output/gpu_kernels.csv"
  exit $status
fi

[ $run_tests = 0 ] || run_gpu_tests 150
[ $run_sanitizer = 0 ] || run_sanitizers
[ -z "${REHEARSE:-}" ] || exit $status
echo "== measurements"
timeout 270 "$python" gpu.py --output "$output/gpu.txt" "${measure[@]+"${measure[@]}"}" || status=1
exit $status
