"""Tracking: the one module that talks to MLflow. Everything else yields what is to be recorded as plain values."""

from __future__ import annotations

import contextlib
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import filelock

from claimstance.errors import ClaimstanceError

CHAMPION = "champion"
_TIMEOUT_S = 5


@dataclass(frozen=True)
class Params:
    """Parameters of a run."""

    values: dict[str, Any]


@dataclass(frozen=True)
class Metrics:
    """Figures of a run."""

    values: dict[str, float]


@dataclass(frozen=True)
class Tags:
    """Tags of a run."""

    values: dict[str, str]


@dataclass(frozen=True)
class Artifact:
    """A file to keep with the run, in ``folder``."""

    path: Path
    folder: str = ""


@dataclass(frozen=True)
class DataInput:
    """One split of the corpus that the run read."""

    split: str
    data: datasets.Dataset
    source: str


@dataclass(frozen=True)
class Model:
    """The exported bundle; registered as a new version of the model, with ``description`` and ``tags``."""

    bundle: Path
    labels: tuple[str, ...]
    inputs: str
    description: str
    tags: dict[str, str]


Report = Params | Metrics | Tags | Artifact | DataInput | Model


@dataclass
class TrackedRun:
    """One run being tracked: its id, and the version its model was registered as."""

    id: str = ""
    version: str = ""
    _record: Any = field(default=None, repr=False)

    def record(self, reports: Iterable[Report]) -> None:
        """Record what a step of the run reports."""
        for report in reports:
            if self._record is not None:
                self._record(self, report)


class NullTracker:
    """Tracks nothing, so that no caller asks whether tracking is on."""

    where = "nowhere (tracking.uri is null)"

    @contextlib.contextmanager
    def run(self, name: str, description: str) -> Iterator[TrackedRun]:
        """Open a run that records nothing."""
        yield TrackedRun()

    def promote(self, run: TrackedRun) -> None:
        """Do nothing."""


class MlflowTracker:
    """Tracks runs in MLflow and registers their models.

    Args:
        uri: tracking server or database.
        experiment: name of the experiment.
        model: name of the registered model.

    Raises:
        ClaimstanceError: the server or database cannot be reached.
    """

    def __init__(self, uri: str, experiment: str, model: str) -> None:
        self.where, self._model = uri, model
        _check_reachable(uri)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        self._mlflow = mlflow
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            # Opening a new database migrates it, and two processes that do so at once destroy each other's work.
            with filelock.FileLock(_lock_path(uri)):
                mlflow.set_experiment(experiment)
                # Without it the UI takes the experiment for one about prompts and hides the metrics.
                mlflow.set_experiment_tag("mlflow.experimentKind", "custom_model_development")
        except Exception as error:
            raise ClaimstanceError(
                f"tracking at {uri} cannot be used ({type(error).__name__}: {str(error).splitlines()[0]:.200}); "
                f"check tracking.uri, or set it to null to train without tracking"
            ) from None

    @contextlib.contextmanager
    def run(self, name: str, description: str) -> Iterator[TrackedRun]:
        """Open a run; it ends FINISHED, or FAILED when the block raises."""
        with self._mlflow.start_run(run_name=name, description=description) as active:
            run = TrackedRun(active.info.run_id, _record=self._record)
            run.record([Tags({"state": "started", **_commit()})])
            yield run
            run.record([Tags({"state": "completed"})])

    def promote(self, run: TrackedRun) -> None:
        """Give the alias ``champion`` to the model version of a run."""
        client = self._mlflow.MlflowClient()
        client.set_registered_model_alias(self._model, CHAMPION, run.version)
        client.set_tag(run.id, "chosen", f"{self._model} version {run.version}")

    def _record(self, run: TrackedRun, report: Report) -> None:
        mlflow = self._mlflow
        match report:
            case Params(values):
                mlflow.log_params(values)
            case Metrics(values):
                mlflow.log_metrics(values)
            case Tags(values):
                mlflow.set_tags(values)
            case Artifact(path, folder):
                mlflow.log_artifact(str(path), folder or None)
            case DataInput(split, data, source):
                table = mlflow.data.from_huggingface(data, path="json", data_files=source, targets="stance", name=split)
                mlflow.log_input(table, context=split)
            case Model():
                run.version = self._register(run, report)

    def _register(self, run: TrackedRun, model: Model) -> str:
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        inputs = [ColSpec("string", "quote"), *([ColSpec("string", "claim")] if model.inputs != "quote" else [])]
        outputs = [ColSpec("string", "predicted_stance", required=False), ColSpec("double", "confidence")]
        outputs += [ColSpec("double", f"probability_{label}") for label in model.labels]
        root = Path(__file__).resolve().parent
        info = self._mlflow.pyfunc.log_model(
            name="model",
            python_model=str(root / "served.py"),
            artifacts={"bundle": str(model.bundle)},
            code_paths=[str(root.parent / "claimstance")],
            signature=ModelSignature(Schema(inputs), Schema(outputs)),
            pip_requirements=["numpy>=2", "pandas", "rich"],
            registered_model_name=self._model,
        )
        version = str(info.registered_model_version)
        client = self._mlflow.MlflowClient()
        client.update_registered_model(
            self._model, "Stance of a quote to a claim; the alias champion is the one in use."
        )
        client.update_model_version(self._model, version, model.description)
        for name, value in model.tags.items():
            client.set_model_version_tag(self._model, version, name, value)
        run.record([Tags({"model_version": version})])
        return version


def open_tracker(uri: str | None, experiment: str, model: str) -> MlflowTracker | NullTracker:
    """Open tracking before any work is done, so that an unreachable server is known at once."""
    return NullTracker() if uri is None else MlflowTracker(uri, experiment, model)


def _check_reachable(uri: str) -> None:
    if not uri.startswith(("http://", "https://")):
        return
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_TIMEOUT_S):
            return
    except (urllib.error.URLError, OSError) as error:
        raise ClaimstanceError(
            f"no tracking server answers at {uri} ({getattr(error, 'reason', error)}); start it, correct tracking.uri, "
            f"or set it to null to train without tracking"
        ) from None


def _lock_path(uri: str) -> str:
    path = urllib.parse.urlsplit(uri).path.lstrip("/") if uri.startswith("sqlite:///") else "mlflow"
    name = ("/" if uri.startswith("sqlite:////") else "") + path
    return f"{name}.lock"


def _commit() -> dict[str, str]:
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {"git_commit": "unknown"}
    return {"git_commit": commit + (" with uncommitted changes" if dirty.strip() else "")}
