"""What opens a network that was logged as a model: MLflow runs it where the model is opened.

    mlflow.pyfunc.load_model(uri).predict(rows)

takes raw features, an array or a data frame, to classes; `params={"method": "predict_proba"}` to
their probabilities, `"decision_function"` to logits. This file and `robust` are copied into every
model, and its weights are safetensors: nothing is unpickled; torch, numpy and safetensors suffice.
"""

from __future__ import annotations

from typing import Any

from robust.predictor import Predictor

METHODS = ("predict", "predict_proba", "decision_function")


class ServedNetwork:
    """A trained network that takes raw features."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Return each row's class, [N], or what `params` asks for.

        Args:
            model_input: raw features, [N, D].
            params: `method`, one of `METHODS`.

        Raises:
            ValueError: there is no such method, or the rows do not fit.
        """
        method = (params or {}).get("method", METHODS[0])
        if method not in METHODS:
            raise ValueError(f"method={method!r}: known: {', '.join(METHODS)}")
        return getattr(self.predictor, method)(model_input)


def _load_pyfunc(path: str) -> ServedNetwork:
    """Open the file of a network; MLflow asks for a function of this name."""
    return ServedNetwork(Predictor.load(path))
