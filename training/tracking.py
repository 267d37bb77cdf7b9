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

from claimstance.bundle import ENCODER, LINEAR, AnyBundle, EnsembleBundle, read_bundle
from claimstance.errors import ClaimstanceError
from claimstance.labelling import columns_added
from evaluation.evidence import evidence_folder

CHAMPION = "champion"
_DIGEST_TAG = "bundle_sha256"
_EVIDENCE = "evidence"
_NEEDED = {LINEAR: (), ENCODER: ("onnxruntime", "tokenizers")}
_TIMEOUT_S = 5


@dataclass(frozen=True)
class Params:
    """Parameters of a run."""

    values: dict[str, Any]


@dataclass(frozen=True)
class Metrics:
    """Figures of a run, at a ``step`` of its training if they change with it."""

    values: dict[str, float]
    step: int | None = None


@dataclass(frozen=True)
class Tags:
    """Tags of a run."""

    values: dict[str, str]


@dataclass(frozen=True)
class Evidence:
    """The folder of evidence beside a bundle, to keep with the run; or a ``part`` of it, under its name there."""

    path: Path
    part: str = ""


@dataclass(frozen=True)
class File:
    """One file to keep with the run, in a ``folder`` of its artifacts."""

    path: Path
    folder: str


@dataclass(frozen=True)
class DataInput:
    """One split of the corpus that the run read."""

    split: str
    data: datasets.Dataset
    source: str


@dataclass(frozen=True)
class Model:
    """The exported bundle and its SHA-256; registered as a new version of the model, with ``description`` and ``tags``."""

    bundle: Path
    digest: str
    labels: tuple[str, ...]
    inputs: str
    description: str
    tags: dict[str, str]


Report = Params | Metrics | Tags | Evidence | File | DataInput | Model


@dataclass
class TrackedRun:
    """One run being tracked: its id, the version its model was registered as, and the ``state`` that it ends in when nothing
    is raised."""

    id: str = ""
    version: str = ""
    state: str = "completed"
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
    def run(
        self, name: str, description: str, resumed: str | None = None, *, again: bool = False, nested: bool = False
    ) -> Iterator[TrackedRun]:
        """Open a run that records nothing."""
        if resumed and not again:
            raise ClaimstanceError("nothing is tracked (tracking.uri is null), so there is no run to resume")
        yield TrackedRun()

    @contextlib.contextmanager
    def resume(self, run: TrackedRun) -> Iterator[TrackedRun]:
        """Go on with a run that records nothing."""
        yield run

    def end_killed(self, run: str) -> None:
        """Do nothing: nothing is known of other runs."""

    def count_runs(self, tag: str, value: str) -> int:
        """Return 0: nothing is known of other runs."""
        return 0


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
        self.where, self._experiment, self._model = uri, experiment, model
        _check_reachable(uri)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        self._mlflow = mlflow
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            # Opening a new database migrates it, and two processes that do so at once destroy each other's work.
            with filelock.FileLock(lock_path(uri)):
                mlflow.set_experiment(experiment)
                # Without it the UI takes the experiment for one about prompts and hides the metrics.
                mlflow.set_experiment_tag("mlflow.experimentKind", "custom_model_development")
        except Exception as error:
            raise ClaimstanceError(
                f"tracking at {uri} cannot be used ({type(error).__name__}: {str(error).splitlines()[0]:.200}); "
                f"check tracking.uri, or set it to null to train without tracking"
            ) from None

    @contextlib.contextmanager
    def run(
        self, name: str, description: str, resumed: str | None = None, *, again: bool = False, nested: bool = False
    ) -> Iterator[TrackedRun]:
        """Open a run; it ends FINISHED, or FAILED when the block raises.

        Args:
            name: of a new run.
            description: of a new run.
            resumed: id of a run that was killed, to go on with.
            again: go on with it if it has completed too, and open a new run if there is none of that id.
            nested: the run is part of the one that is open.

        Raises:
            ClaimstanceError: the run to resume does not exist, or has completed.
        """
        if again:
            resumed = resumed if resumed and self._find(resumed) else None
        elif resumed:
            self._check_unfinished(resumed)
        known = {"run_id": resumed} if resumed else {"run_name": name, "description": description}
        with self._mlflow.start_run(**known, nested=nested) as active:
            run = TrackedRun(active.info.run_id, _record=self._record)
            run.record([Tags({"state": "started", **_commit()})])
            try:
                yield run
            except BaseException:
                # What went wrong is what has to be told, even where the server went away with it.
                with contextlib.suppress(self._mlflow.exceptions.MlflowException):
                    run.record([Tags({"state": "failed"})])
                raise
            run.record([Tags({"state": run.state})])

    def _find(self, run: str) -> Any:
        with contextlib.suppress(self._mlflow.exceptions.MlflowException):
            return self._mlflow.MlflowClient().get_run(run)
        return None

    def end_killed(self, run: str) -> None:
        """End a run whose process was killed before it could."""
        if self._find(run):
            client = self._mlflow.MlflowClient()
            client.set_tag(run, "state", "failed")
            client.set_terminated(run, "KILLED")

    def _check_unfinished(self, run: str) -> None:
        found = self._find(run)
        if found is None:
            raise ClaimstanceError(f"no run {run!r} in {self.where}; name the id of the run to resume")
        if found.data.tags.get("state") == "completed":
            raise ClaimstanceError(f"run {run} has completed, so there is nothing to resume")

    @contextlib.contextmanager
    def resume(self, run: TrackedRun) -> Iterator[TrackedRun]:
        """Go on with a run that has ended, to record more of it."""
        with self._mlflow.start_run(run_id=run.id):
            yield run

    def count_runs(self, tag: str, value: str) -> int:
        """Return how many runs of the experiment bear a tag."""
        client = self._mlflow.MlflowClient()
        experiment = client.get_experiment_by_name(self._experiment)
        return len(client.search_runs([experiment.experiment_id], f"tags.{tag} = '{value}'", max_results=50_000))

    def version_of_run(self, run: str) -> str:
        """Return the version that a run's model was registered as.

        Raises:
            ClaimstanceError: there is no such run, or it registered none.
        """
        client = self._mlflow.MlflowClient()
        try:
            client.get_run(run)
        except self._mlflow.exceptions.MlflowException:
            raise ClaimstanceError(
                f"{run!r} is neither a folder with an exported model nor a run in {self.where}; name one of them"
            ) from None
        found = client.search_model_versions(f"run_id = '{run}'")
        versions = [str(version.version) for version in found if version.name == self._model]
        if not versions:
            raise ClaimstanceError(
                f"run {run} registered no version of {self._model}: it did not finish, or trained for another registered "
                f"model; name another run, or the gate of that model with --gate"
            )
        return max(versions, key=int)

    def version_of_bundle(self, digest: str) -> str | None:
        """Return the latest version whose bundle has a SHA-256, if any."""
        client = self._mlflow.MlflowClient()
        found = client.search_model_versions(f"name = '{self._model}'")
        versions = [version.version for version in found if version.tags.get(_DIGEST_TAG) == digest]
        return str(max(versions, key=int)) if versions else None

    def champion(self) -> str | None:
        """Return the version that bears the alias ``champion``, if any."""
        client = self._mlflow.MlflowClient()
        try:
            return str(client.get_model_version_by_alias(self._model, CHAMPION).version)
        except self._mlflow.exceptions.MlflowException:
            return None

    def download(self, version: str, folder: Path) -> Path:
        """Fetch the bundle of a version, and the evidence beside it where its run kept one; return the bundle's folder."""
        fetch = self._mlflow.artifacts.download_artifacts
        bundle = folder / "bundle"
        try:
            model = Path(fetch(f"models:/{self._model}/{version}", dst_path=str(_made(folder / "model"))))
            next((model / "artifacts").iterdir()).rename(bundle)
        except (self._mlflow.exceptions.MlflowException, OSError, StopIteration) as error:
            raise ClaimstanceError(
                f"the files of version {version} of {self._model} cannot be fetched ({type(error).__name__}: "
                f"{str(error).splitlines()[0] if str(error) else 'none there'}); restore them, or remove the version in the UI"
            ) from None
        run = self._mlflow.MlflowClient().get_model_version(self._model, version).run_id
        with contextlib.suppress(self._mlflow.exceptions.MlflowException, OSError):
            kept = Path(fetch(f"runs:/{run}/{_EVIDENCE}", dst_path=str(_made(folder / "evidence"))))
            kept.rename(evidence_folder(bundle))
        return bundle

    def decide(self, version: str, tags: dict[str, str], *, champion: bool) -> None:
        """Record on a version what the gate found, and give it the alias ``champion`` or not."""
        client = self._mlflow.MlflowClient()
        for name in client.get_model_version(self._model, version).tags:
            # What another gate asked of it earlier would read as this one's finding.
            if name.startswith("gate"):
                client.delete_model_version_tag(self._model, version, name)
        for name, value in tags.items():
            client.set_model_version_tag(self._model, version, name, value)
        if champion:
            client.set_registered_model_alias(self._model, CHAMPION, version)

    def _record(self, run: TrackedRun, report: Report) -> None:
        mlflow = self._mlflow
        match report:
            case Params(values):
                known = mlflow.MlflowClient().get_run(run.id).data.params
                for name, value in values.items():
                    if known.get(name, str(value)) != str(value):
                        raise ClaimstanceError(
                            f"run {run.id} was started with {name} {known[name]}, this config says {value}; resume it with the "
                            f"config that it was started with"
                        )
                mlflow.log_params(values)
            case Metrics(values, step):
                mlflow.log_metrics(values, step=step)
            case Tags(values):
                mlflow.set_tags(values)
            case Evidence(path, split):
                mlflow.log_artifacts(str(path), "/".join(filter(None, (_EVIDENCE, split))))
            case File(path, folder):
                mlflow.log_artifact(str(path), folder)
            case DataInput(split, data, source):
                table = mlflow.data.from_huggingface(data, path="json", data_files=source, targets="stance", name=split)
                mlflow.log_input(table, context=split)
            case Model():
                run.version = self._register(run, report)

    def _register(self, run: TrackedRun, model: Model) -> str:
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        inputs = [ColSpec("string", "quote"), *([ColSpec("string", "claim")] if model.inputs != "quote" else [])]
        stance, *figures = columns_added(model.labels)
        outputs = [ColSpec("string", stance, required=False), *(ColSpec("double", name) for name in figures)]
        root = Path(__file__).resolve().parent
        info = self._mlflow.pyfunc.log_model(
            name="model",
            python_model=str(root / "served.py"),
            artifacts={"bundle": str(model.bundle)},
            code_paths=[str(root.parent / "claimstance")],
            signature=ModelSignature(Schema(inputs), Schema(outputs)),
            pip_requirements=["numpy>=2", "pandas", *_needed(read_bundle(model.bundle))],
            registered_model_name=self._model,
        )
        version = str(info.registered_model_version)
        client = self._mlflow.MlflowClient()
        client.update_registered_model(
            self._model, "Stance of a quote to a claim; the alias champion is the one in use."
        )
        client.update_model_version(self._model, version, model.description)
        for name, value in {**model.tags, _DIGEST_TAG: model.digest}.items():
            client.set_model_version_tag(self._model, version, name, value)
        run.record([Tags({"model_version": version})])
        return version


def open_tracker(uri: str | None, experiment: str, model: str) -> MlflowTracker | NullTracker:
    """Open tracking before any work is done, so that an unreachable server is known at once."""
    return NullTracker() if uri is None else MlflowTracker(uri, experiment, model)


def _needed(bundle: AnyBundle) -> tuple[str, ...]:
    """Return the packages that a bundle needs beside those of every bundle."""
    if not isinstance(bundle, EnsembleBundle):
        return _NEEDED[bundle.manifest.kind]
    return tuple(dict.fromkeys(name for member in bundle.members for name in _needed(member)))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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


def lock_path(uri: str) -> str:
    """Return the file that is locked while the tables of a database are made; of a server, one for all."""
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
