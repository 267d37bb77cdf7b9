"""The registered MLflow model: a bundle behind MLflow's own prediction call. MLflow runs this file as the model.

MLFLOW_TRACKING_URI=sqlite:///mlflow.db mlflow models serve -m models:/claim-stance@champion --env-manager local
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from claimstance import ClaimstanceError, Predictor
from claimstance.labelling import STANCE, columns_added


class StanceModel(PythonModel):
    """Labels rows of ``quote`` and ``claim``: the stance (null on abstention), its confidence, every probability."""

    def load_context(self, context: Any) -> None:
        self.predictor = Predictor.load(context.artifacts["bundle"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        claims = model_input["claim"] if "claim" in model_input else [""] * len(model_input)
        try:
            predictions = self.predictor.predict(list(zip(model_input["quote"], claims, strict=True)))
        except ClaimstanceError as error:
            # MLflow keeps the words of its own exceptions alone for whoever asked.
            raise MlflowException.invalid_parameter_value(str(error)) from None
        rows = [(each.stance, each.confidence, *each.probabilities.values()) for each in predictions]
        table = pd.DataFrame(rows, columns=columns_added(self.predictor.manifest.labels))
        # As objects: in a column of texts pandas makes NaN of None, which is no JSON.
        table[STANCE] = pd.Series([each.stance for each in predictions], dtype=object)
        return table


set_model(StanceModel())
