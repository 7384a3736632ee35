#!/usr/bin/env bash
# Tests and measures the operators on a machine with an NVIDIA GPU, without network.
#
#   benchmarks/gpu.sh [--wheels FOLDER] [--output FOLDER] [--quick] [--skip-tests] [--skip-sanitizer]
#   benchmarks/gpu.sh --first [--wheels FOLDER] [--output FOLDER] [--limit SECONDS]
#   benchmarks/gpu.sh --second [--wheels FOLDER] [--old FOLDER] [--output FOLDER] [--limit SECONDS]
#   benchmarks/gpu.sh --build-mamba SDIST [--output FOLDER]
#
# --wheels FOLDER     holds what SWIN_UMAMBA_CUDA=1 make wheel has built, and wheels of what else the
#                     machine's Python lacks: pytest and hypothesis for the tests, monai, einops and
#                     dynamic_network_architectures for the training steps, mamba_ssm (see --build-mamba; it needs
#                     einops too) for the baselines; they are unpacked into a temporary folder. Without it the
#                     installed packages are used
# --old FOLDER        holds the wheel of a former build, whose kernels are then measured in turn with today's
# --output FOLDER     where the log and the tables go; default benchmarks/results
# --first             what tells most, for a loan of minutes: every operator against the CPU kernels, the device's own
#                     ceilings, the tests, what each kernel takes, ncu and the sanitizers; mamba-ssm's wheel is built
#                     beside these if the wheels' folder has its sdist, and then measured. At most 430 s
# --second            what is left, after a change: every operator again, all tests, the former kernels against
#                     today's, the table with the baselines, training steps, racecheck. At most 330 s
# --limit SECONDS     for the whole, where less time is lent than what is said here; what comes last is left out then
# --quick             fewer repetitions and no training steps
# --skip-tests, --skip-sanitizer
#                     leave out the operator tests, compute-sanitizer
# --build-mamba SDIST build mamba-ssm's wheel for this machine's GPU from its sdist into the output folder and
#                     stop; its scan is the baseline of the table, which has gaps without it. Only the variant that
#                     gpu.py calls is built: with softplus, B and C of every step, no z
#
# Without --first and --second: operators, tests, sanitizer, the whole table; at most 600 s. Each step has a limit of its
# own and none runs past the end of all; one that fails is told of at the end, by the exit status too, and stops no
# other. An operator that fails runs again alone under memcheck.
# REHEARSE=1 takes the CPU for what can run there and leaves out the rest.
set -euo pipefail

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; }
fail() {
  echo "gpu.sh: $*" >&2
  exit 1
}

root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
wheels="" old="" output=$root/benchmarks/results sdist="" limit="" run_tests=1 run_sanitizer=1 plan=gpu quick=""
while [ $# -gt 0 ]; do
  case $1 in
    --wheels | --old | --output | --build-mamba | --limit)
      [ $# -ge 2 ] || fail "$1 needs an argument; see $0 --help"
      case $1 in
        --wheels) wheels=$2 ;;
        --old) old=$2 ;;
        --output) output=$2 ;;
        --build-mamba) sdist=$2 ;;
        --limit) limit=$2 ;;
      esac
      shift
      ;;
    --first) plan=gpu_first ;;
    --second) plan=gpu_second ;;
    --quick) quick=--quick ;;
    --skip-tests) run_tests=0 ;;
    --skip-sanitizer) run_sanitizer=0 ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) fail "unknown argument \"$1\"; see $0 --help" ;;
  esac
  shift
done
mkdir -p "$output"
output=$(cd "$output" && pwd)
for folder in "$wheels" "$old"; do
  [ -z "$folder" ] || [ -d "$folder" ] || fail "no such folder: $folder"
  found=("$folder"/swin_umamba_ext-*.whl)
  [ -z "$folder" ] || [ -f "${found[0]}" ] ||
    fail "$folder has no swin_umamba_ext-*.whl; build it with SWIN_UMAMBA_CUDA=1 make wheel"
done
work=$(mktemp -d)
building=""
trap '[ -z "$building" ] || kill "$building" 2>/dev/null || true; rm -rf "$work"' EXIT

if [ -n "$sdist" ]; then
  [ -f "$sdist" ] || fail "no such file: $sdist"
  tar -xzf "$sdist" -C "$work" --strip-components 1
  # Only this GPU's architecture, of its ten: without them torch asks for those of TORCH_CUDA_ARCH_LIST.
  sed -i -E 's/cc_flag\.append\("(-gencode|arch=compute_[^"]*)"\)/pass/' "$work/setup.py"
  TORCH_CUDA_ARCH_LIST=$("$python" -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())')
  export TORCH_CUDA_ARCH_LIST
  # And of its 16 or 32 variants of each kernel one, which is right for every length.
  cat >"$work/csrc/selective_scan/static_switch.h" <<'END'
#pragma once
#define VALUE_OF_kIsEvenLen false
#define VALUE_OF_kIsVariableB true
#define VALUE_OF_kIsVariableC true
#define VALUE_OF_kDeltaSoftplus true
#define VALUE_OF_kHasZ false
#define BOOL_SWITCH(condition, name, ...) \
  [&] {                                   \
    constexpr bool name = VALUE_OF_##name; \
    return __VA_ARGS__();                 \
  }()
END
  MAMBA_FORCE_BUILD=TRUE MAMBA_KEEP_CUDA_BUILD=TRUE "$python" -m pip wheel --no-index --no-deps \
    --no-build-isolation --wheel-dir "$output" "$work"
  exit 0
fi

device=cuda slower=1
[ -z "${REHEARSE:-}" ] || device=cpu slower=20
case $plan in gpu_first) end=425 ;; gpu_second) end=325 ;; *) end=595 ;; esac
case $limit in *[!0-9]*) fail "--limit needs a number of seconds, got \"$limit\"" ;; esac
end=$((SECONDS + ${limit:-$end} * slower))

# Runs a command for at most so many seconds and never past the end; the status of all is that of the worst.
failed=()
step() { # SECONDS, then the command
  local limit=$(($1 * slower)) left=$((end - SECONDS))
  shift
  [ "$left" -ge "$limit" ] || limit=$left
  if [ "$limit" -lt 5 ]; then
    failed+=("no time was left for: $*")
    return
  fi
  local status=0
  timeout --kill-after 2 "$limit" "$@" || status=$?
  # shellcheck disable=SC2015
  [ "$status" = 0 ] || failed+=("$([ "$status" = 124 ] && echo "not done after $limit s" || echo "exit status $status"): $*")
}
title() { echo "== $* (at $SECONDS s)"; }

install() { # FOLDER of wheels, FOLDER to unpack them into
  local wheel names=()
  for wheel in "$1"/*.whl; do
    case $(basename "$wheel") in torch-* | nvidia_* | triton-*) ;; *) names+=("$wheel") ;; esac # never another torch
  done
  step 60 "$python" -m pip install --no-index --no-deps --no-compile --quiet --target "$2" "${names[@]}"
}

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
  step "$2" env PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$sanitizer" --tool "$1" --error-exitcode 9 \
    "${filter[@]+"${filter[@]}"}" "$python" gpu.py "${@:3}"
}

smoke() { # SECONDS
  title "every operator against the CPU kernels"
  local operator operators pids=() wrong=() i
  operators=(ss2d selective_scan cross_scan cross_merge instance_norm depthwise_conv_silu gated_layer_norm)
  for operator in "${operators[@]}"; do
    timeout --kill-after 2 $(($1 * slower)) "$python" gpu.py --smoke "$operator" --device $device >"smoke_$operator.txt" 2>&1 &
    pids+=($!)
  done
  for i in "${!operators[@]}"; do
    wait "${pids[$i]}" || wrong+=("${operators[$i]}")
  done
  cat smoke_*.txt
  [ ${#wrong[@]} -gt 0 ] || return 0
  failed+=("wrong, crashed or too slow: ${wrong[*]}")
  [ -z "$sanitizer" ] || check memcheck 60 --smoke "${wrong[0]}" | tail -n 60
}
sanitizers() { # SECONDS, then tools: all at once
  [ -z "${REHEARSE:-}" ] || return 0
  title "compute-sanitizer"
  if [ -z "$sanitizer" ]; then
    echo "compute-sanitizer was not found: its checks are left out"
    return
  fi
  local tool pids=()
  for tool in "${@:2}"; do
    # A shell of its own: what fails there is told of by its status.
    (failed=() && check "$tool" "$1" --sanitize && [ ${#failed[@]} = 0 ]) >"sanitizer_$tool.txt" 2>&1 &
    pids+=($!)
  done
  for tool in "${@:2}"; do
    wait "${pids[0]}" || failed+=("$tool: its log is above")
    pids=("${pids[@]:1}")
    tail -n 20 "sanitizer_$tool.txt"
  done
}
gpu_tests() { # SECONDS, then further arguments of pytest
  [ -z "${REHEARSE:-}" ] || return 0
  title "operator tests on the GPU"
  local workers=()
  ! "$python" -c 'import xdist' 2>/dev/null || workers=(-n 3)
  step "$1" "$python" -m pytest -m gpu -q -p no:cacheprovider "${workers[@]+"${workers[@]}"}" "${@:2}" "$work/tests"
}
measure() { # SECONDS, FILE, then what gpu.py is to do
  step "$1" "$python" gpu.py "${@:3}" --device $device --output "$output/$2"
}

first() {
  smoke 60
  local sdist
  for sdist in "${wheels:-.}"/mamba_ssm-*.tar.gz; do
    [ -f "$sdist" ] && [ -z "${REHEARSE:-}" ] || continue
    "$root/benchmarks/gpu.sh" --build-mamba "$sdist" --output "$output" >"$output/gpu_mamba.txt" 2>&1 &
    building=$!
  done
  title "what the device reaches"
  step 20 "$python" gpu.py --ceilings --device $device
  gpu_tests 100 -k 'not more_than_2_to_31'
  title "what each kernel takes"
  measure 60 gpu_kernels.csv --kernels >/dev/null
  if [ -z "${REHEARSE:-}" ] && command -v ncu >/dev/null; then
    title "ncu"
    local shape
    for shape in 80x80x192 10x10x1536; do
      step 45 ncu --set full --kernel-name 'regex:forward_kernel|adjoint_kernel|gradient_kernel' --launch-count 12 \
        --page raw --csv "$python" gpu.py --one ss2d $shape 8 >"$output/gpu_ncu_$shape.csv" 2>&1
    done
  fi
  sanitizers 80 memcheck racecheck synccheck
  if [ -n "$building" ]; then
    while kill -0 "$building" 2>/dev/null && [ $((end - SECONDS)) -gt 40 ]; do sleep 1; done
    if kill -0 "$building" 2>/dev/null; then
      failed+=("mamba-ssm is not built yet")
      kill "$building" || true
    elif wait "$building"; then
      mkdir "$work/mamba"
      cp "$output"/mamba_ssm-*.whl "$work/mamba"
      install "$work/mamba" "$work/mamba-site"
      export PYTHONPATH="$work/mamba-site${PYTHONPATH:+:$PYTHONPATH}"
    else
      failed+=("mamba-ssm was not built: $output/gpu_mamba.txt says why")
    fi
    building=""
  fi
  title "beside mamba-ssm"
  measure 30 gpu_first_table.txt --few --quick
  title "what each kernel takes, in microseconds"
  cat "$output/gpu_kernels.csv" || true
}

second() {
  smoke 45
  gpu_tests 95
  if [ -n "$old" ]; then
    title "the former kernels and today's, in turn"
    local turn build
    : >"$output/gpu_turns.csv"
    for turn in 1 2; do
      for build in old new; do
        PYTHONPATH="$work/$build-site:${PYTHONPATH:-}" \
          step 18 "$python" gpu.py --kernels --quick --device $device --output "turn_$turn.csv" >/dev/null
        [ ! -f "turn_$turn.csv" ] || sed "1d;s/^/$build,/" "turn_$turn.csv" >>"$output/gpu_turns.csv"
        rm -f "turn_$turn.csv"
      done
    done
    step 20 "$python" gpu.py --turns "$output/gpu_turns.csv"
  fi
  title "beside the baselines"
  measure 75 gpu_table.txt --quick
  title "training steps"
  measure 50 gpu_training.txt --training --quick
  sanitizers 30 racecheck
}

all() {
  smoke 60
  [ $run_tests = 0 ] || gpu_tests 150
  [ $run_sanitizer = 0 ] || sanitizers 120 memcheck racecheck synccheck
  title "measurements"
  measure 270 gpu_table.txt ${quick:+"$quick"}
  [ -n "$quick" ] || measure 120 gpu_training.txt --training
}

main() {
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
  # Away from the checkout, so that the installed package is imported and not the folder of that name.
  mkdir "$work/tests"
  cp -r "$root"/tests/{__init__.py,gpu,problems} "$work/tests"
  cp "$root"/benchmarks/gpu.py "$root"/benchmarks/cuda_model.py "$work"
  cd "$work"
  [ -z "$old" ] || install "$old" "$work/old-site"
  if [ -n "$wheels" ]; then
    install "$wheels" "$work/new-site"
    export PYTHONPATH="$work/new-site${PYTHONPATH:+:$PYTHONPATH}"
  fi
  # What is installed and whether the operators work; its exit status tells of the CPU too.
  timeout 60 "$python" -m swin_umamba_ext 2>&1 || true
  [ -n "${REHEARSE:-}" ] || "$python" - <<'EOF' || fail "no CUDA operators; give with --wheels the folder of a wheel built with SWIN_UMAMBA_CUDA=1"
import sys
from swin_umamba_ext import library
sys.exit(None if library.CUDA_LIBRARY else f"{library.FOLDER} has no CUDA library")
EOF
  case $plan in gpu_first) first ;; gpu_second) second ;; *) all ;; esac
  title "done"
  [ ${#failed[@]} -eq 0 ] || printf 'failed: %s\n' "${failed[@]}"
  [ ${#failed[@]} -eq 0 ]
}
main 2>&1 | tee "$output/$plan.txt"
