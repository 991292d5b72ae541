#!/usr/bin/env bash
# Everything that wants a GPU, in order of worth, each step in a time box; one JSON line per result.
#
#     bash benchmarks/gpu/run.sh                       # on the GPU; results in $OUT, or runs/gpu
#     bash benchmarks/gpu/run.sh --device cpu --small  # the same steps, rehearsed without one
#
# Further words go to steps.py: names of steps to run only these, --seconds for the whole.
set -euo pipefail
cd "$(dirname "$0")/../.."
pack=${LAYERGYM_PACK:-.gpu}
site=${LAYERGYM_SITE:-/tmp/layergym-site}
if compgen -G "$pack/wheels/*.whl" > /dev/null && ! [ -e "$site/.ready" ]; then
  python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$site" "$pack"/wheels/*.whl
  touch "$site/.ready"
fi
if ! python3 -c 'from importlib.metadata import version; version("layergym")' 2> /dev/null; then
  # Environments are found by entry points, which need the package's metadata beside its code.
  python3 -c 'import setuptools; setuptools.setup()' -q egg_info > /dev/null
fi
export PYTHONPATH="$PWD/src:$site${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
exec python3 benchmarks/gpu/steps.py --pack "$pack" "$@"
