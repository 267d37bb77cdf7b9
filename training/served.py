"""The registered MLflow model: a bundle behind MLflow's own prediction call. MLflow runs this file as the model."""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from claimstance import Predictor
from claimstance.cli import prediction_fields


class StanceModel(PythonModel):
    """Labels rows of ``quote`` and ``claim``: the stance (null on abstention), its confidence, every probability."""

    def load_context(self, context: Any) -> None:
        self.predictor = Predictor.load(context.artifacts["bundle"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        claims = model_input["claim"] if "claim" in model_input else [""] * len(model_input)
        rows = []
        for prediction in self.predictor.predict(list(zip(model_input["quote"], claims, strict=True))):
            fields = prediction_fields(prediction)
            probabilities = fields.pop("probabilities")
            rows.append({**fields, **{f"probability_{label}": value for label, value in probabilities.items()}})
        return pd.DataFrame(rows)


set_model(StanceModel())
