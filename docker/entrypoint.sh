#!/bin/sh
# The role comes first; what follows goes to the role's command.
set -eu

role=${1:-sweep}
[ $# -gt 0 ] && shift

# What a node offers to packs. Left to itself Ray counts what the host has, in every container.
node="--disable-usage-stats${RAY_CPUS:+ --num-cpus=$RAY_CPUS}${RAY_GPUS:+ --num-gpus=$RAY_GPUS}"

# shellcheck disable=SC2086 # $node holds several words
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
    exec ray start --head --port=6379 --include-dashboard=false $node --block "$@"
    ;;
  ray-worker)
    exec ray start --address="${RAY_HEAD:-ray-head:6379}" $node --block "$@"
    ;;
  mlflow)
    # libpq reads the password from here, so that no command line and no address holds it.
    if [ -n "${PGPASSWORD_FILE:-}" ]; then
      PGPASSWORD=$(cat "$PGPASSWORD_FILE")
      export PGPASSWORD
    fi
    exec mlflow server --host 0.0.0.0 --port 5000 \
      --backend-store-uri "${MLFLOW_BACKEND:?set MLFLOW_BACKEND to a database URI}" \
      --artifacts-destination /results/mlartifacts "$@"
    ;;
  bash)
    # Ray's cluster launcher starts a container with a shell, and works inside of it.
    exec bash "$@"
    ;;
  *)
    echo "unknown role '$role'; known: sweep, tables, ray-head, ray-worker, mlflow, bash" >&2
    exit 2
    ;;
esac
