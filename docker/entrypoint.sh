#!/bin/sh
# The role comes first; what follows goes to the role's command.
set -eu

role=${1:-sweep}
[ $# -gt 0 ] && shift

case $role in
  sweep)
    if [ -n "${RAY_HEAD:-}" ]; then
      ray start --address="$RAY_HEAD" --num-cpus=0 --num-gpus=0 --disable-usage-stats
    fi
    exec python /app/sweep/run.py paths.results=/results "$@"
    ;;
  tables)
    exec python /app/analysis/make_tables.py results=/results "$@"
    ;;
  ray-head)
    exec ray start --head --port=6379 --include-dashboard=false --disable-usage-stats --block "$@"
    ;;
  ray-worker)
    exec ray start --address="${RAY_HEAD:-ray-head:6379}" --disable-usage-stats --block "$@"
    ;;
  mlflow)
    exec mlflow server --host 0.0.0.0 --port 5000 \
      --backend-store-uri "${MLFLOW_BACKEND:?set MLFLOW_BACKEND to a database URI}" \
      --artifacts-destination /results/mlartifacts "$@"
    ;;
  *)
    echo "unknown role '$role'; known: sweep, tables, ray-head, ray-worker, mlflow" >&2
    exit 2
    ;;
esac
