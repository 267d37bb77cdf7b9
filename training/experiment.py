"""One experiment: fit candidates, track each, choose the best by validation macro-F1, export it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import datasets

from claimstance.bundle import LAYOUT, bundle_digest, write_bundle
from claimstance.errors import ClaimstanceError
from claimstance.files import replacing_folder
from claimstance.predictor import Predictor
from evaluation import metrics
from evaluation.scoring import LabelledPairs, Scores, score_model
from training.config import Config
from training.corpus import SPLITS, LoadedCorpus, load_corpus
from training.models import Fitted, cross_validate, fit, texts_of
from training.pictures import draw_confusion, draw_reliability
from training.tracking import (
    Artifact,
    DataInput,
    MlflowTracker,
    Model,
    NullTracker,
    Params,
    Report,
    Tags,
    TrackedRun,
    open_tracker,
)
from training.tracking import Metrics as Figures


@dataclass(frozen=True)
class Candidate:
    """One trained candidate: its config, its bundle on disk, its scores on validation and its tracked run."""

    config: Config
    bundle: Path
    validation: Scores
    run: TrackedRun
    tracker: MlflowTracker | NullTracker


@dataclass(frozen=True)
class Outcome:
    """What an experiment ends with: all candidates, best first; and the best one's scores on test, where asked for."""

    candidates: tuple[Candidate, ...]
    test: Scores | None

    @property
    def chosen(self) -> Candidate:
        return self.candidates[0]


def run_experiment(configs: Sequence[Config], say=print) -> Outcome:
    """Train candidates and export the best.

    Args:
        configs: one a candidate; all must name the same corpus, labels, export folder and evaluation.
        say: called with each line of progress.

    Raises:
        ClaimstanceError: the configs do not belong together, the corpus is wrong, or tracking cannot be reached; nothing
            is written then.
    """
    _check_comparable(configs)
    first = configs[0]
    _check_replaceable(Path(first.export))
    corpus = load_corpus(first)
    if first.evaluation.test and "test" not in corpus.splits:
        raise ClaimstanceError("evaluation.test is true, but the corpus has no test split; name one or set it to false")
    say(f"corpus: {', '.join(f'{name} {len(part):,}' for name, part in corpus.splits.items())} pairs")
    tracker = open_tracker(first.tracking.uri, first.tracking.experiment, first.tracking.model)
    with tempfile.TemporaryDirectory() as folder:
        candidates = []
        for config in configs:
            candidate = _train(config, corpus, tracker, Path(folder) / config.name, say)
            candidates.append(candidate)
        # The first named wins a tie, so the order of candidates on the command line decides nothing else.
        candidates.sort(key=lambda candidate: -candidate.validation.figures[metrics.MACRO_F1])
        chosen = candidates[0]
        with replacing_folder(first.export) as fresh:
            shutil.copytree(chosen.bundle, fresh, dirs_exist_ok=True)
        chosen.tracker.promote(chosen.run)
        test = None
        if first.evaluation.test:
            test = score_split(Predictor.load(first.export), corpus, "test", first)
    return Outcome(tuple(candidates), test)


def _check_comparable(configs: Sequence[Config]) -> None:
    names = [config.name for config in configs]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ClaimstanceError(
            f"two candidates are called {', '.join(sorted(repeated))}; give each config its own name"
        )
    for config in configs[1:]:
        for part in ("corpus", "labels", "export", "evaluation", "tracking"):
            if getattr(config, part) != getattr(configs[0], part):
                raise ClaimstanceError(
                    f"{configs[0].name} and {config.name} differ in {part}, so they cannot be compared; train them apart"
                )


def _check_replaceable(export: Path) -> None:
    """Make sure that the folder to export to holds nothing but an earlier export."""
    if export.exists() and (
        not export.is_dir() or {file.name for file in export.iterdir()} - {*LAYOUT.contents, LAYOUT.manifest}
    ):
        raise ClaimstanceError(f"{export}: holds something else than an exported model; name another folder in export")


def _train(config: Config, corpus: LoadedCorpus, tracker: MlflowTracker | NullTracker, folder: Path, say) -> Candidate:
    say(f"{config.name}: fitting")
    with ExitStack() as stack:
        run = stack.enter_context(tracker.run(config.name, config.description))
        run.record(_inputs(config, corpus))
        train, validation = corpus.splits["train"], corpus.splits["validation"]
        fitted = fit(config, train, validation, {"corpus_sha256": corpus.digest, "config": config.name})
        write_bundle(fitted.bundle, folder)
        scores = score_split(Predictor.load(folder), corpus, "validation", config)
        figures = {f"validation_{name}": value for name, value in scores.figures.items()}
        if config.evaluation.cross_validation:
            say(f"{config.name}: cross-validating, {config.evaluation.cross_validation} folds grouped by event")
            figures |= _cross_validation_figures(config, corpus)
        run.record(_results(config, fitted, folder, scores, figures))
    for name, value in figures.items():
        if name.startswith("cross_validation"):
            say(f"{config.name}: {name}={value:.4f}")
    return Candidate(config, folder, scores, run, tracker)


def score_split(predictor: Predictor, corpus: LoadedCorpus, split: str, config: Config) -> Scores:
    """Score a model on one split of the corpus that a run reads."""
    quotes, claims, truth = texts_of(corpus.splits[split], config.model.inputs)
    labels = [config.labels.all[index] for index in truth]
    data = corpus.splits[split]
    pairs = LabelledPairs(quotes, claims, labels, list(data["event"]), list(data["contrast"]))
    return score_model(predictor, pairs, config.evaluation.macro_over)


def _cross_validation_figures(config: Config, corpus: LoadedCorpus) -> dict[str, float]:
    both = datasets.concatenate_datasets([corpus.splits["train"], corpus.splits["validation"]])
    confusion = cross_validate(config, both, config.evaluation.cross_validation)
    index = {label: number for number, label in enumerate(config.labels.all)}
    stances = [index[label] for label in config.labels.stances]
    figures = {f"cross_validation_{metrics.MACRO_F1}": metrics.macro_f1(confusion, stances)}
    for subset in config.evaluation.macro_over:
        name = f"cross_validation_{metrics.macro_over_name(subset)}"
        figures[name] = metrics.macro_f1(confusion, [index[label] for label in subset])
    return figures


def _inputs(config: Config, corpus: LoadedCorpus) -> Iterator[Report]:
    yield Params(_flat(config.model_dump(mode="json", exclude={"name", "description"})))
    yield Tags({"model_kind": config.model.kind, "corpus_sha256": corpus.digest})
    yield Params({f"corpus_{name}_pairs": len(part) for name, part in corpus.splits.items()})
    sources = {name: getattr(config.corpus, name) or config.corpus.source for name in SPLITS}
    for name in ("train", "validation"):
        yield DataInput(name, corpus.splits[name], sources[name])


def _results(
    config: Config, fitted: Fitted, folder: Path, scores: Scores, figures: dict[str, float]
) -> Iterator[Report]:
    yield Figures(figures)
    yield Figures({"threshold": fitted.bundle.manifest.threshold, "temperature": fitted.temperature})
    yield Tags({"bundle_sha256": bundle_digest(folder)})
    with tempfile.TemporaryDirectory() as pictures:
        confusion, reliability = Path(pictures) / "confusion_matrix.png", Path(pictures) / "reliability.png"
        draw_confusion(scores, f"{config.name}: validation", confusion)
        draw_reliability(scores, f"{config.name}: validation", reliability)
        yield Artifact(confusion, "pictures")
        yield Artifact(reliability, "pictures")
    low, high = scores.interval[metrics.MACRO_F1]
    headline = f"validation macro-F1 {scores.figures[metrics.MACRO_F1]:.3f} ({low:.3f} to {high:.3f})"
    summary = f"{config.name}: {headline}. {config.description}"
    yield Tags({"mlflow.note.content": summary})
    tags = {"candidate": config.name, "validation_macro_f1": f"{scores.figures[metrics.MACRO_F1]:.3f}"}
    yield Model(folder, config.labels.all, config.model.inputs, summary, tags)


def _flat(values: dict, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
