"""MLflow: a run for each network. Only this package imports MLflow.

MLflow is a view of the records: whatever it lacks can be logged again from them. A network has one
run, whatever was killed or evaluated since; packs have none, and are tags. docs/mlflow.md says
what is in a run and docs/scale.md what it costs.

Several results folders may share a store and an experiment's name. Each run carries the id of its
results folder (`results/.id`), and a sweep touches no other runs. Whoever copies a results folder
to go on with both deletes the copy's `.id`, or the two take each other's runs for their own.

    python -m sweep.tracking sync [experiment=NAME] [results=results] [uri=sqlite:///mlflow.db]
                                  [detail=auto|full|summary]
"""

import logging
import os

# MLflow reads these when it is imported.
os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"})
# Each run that ends would be asked for once more, to print its address.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")  # its import sets the level of its loggers
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

for _name in ("mlflow", "alembic", "sqlalchemy"):
    logging.getLogger(_name).setLevel(logging.ERROR)
