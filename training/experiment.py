"""One experiment: fit candidates, report each on validation, choose the best by its macro-F1, export it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import datasets

from claimstance.bundle import LAYOUT, bundle_digest, write_bundle
from claimstance.errors import ClaimstanceError
from claimstance.files import replacing_folder
from claimstance.predictor import Predictor
from evaluation import metrics
from evaluation.evidence import LAYOUT as EVIDENCE
from evaluation.evidence import evidence_folder, read_evidence
from evaluation.page import write_report
from evaluation.report import Report, make_report
from evaluation.scoring import FIELDS, LabelledPairs
from training import processes
from training.config import Config, flat
from training.corpus import SPLITS, LoadedCorpus, load_corpus
from training.cross_validation import cross_validate, cross_validated_pairs, summaries
from training.distillation import teach
from training.evidence import write_evidence
from training.kinds import Encoder
from training.models import Workshop, fit
from training.tracking import (
    DataInput,
    Evidence,
    MlflowTracker,
    Model,
    NullTracker,
    Params,
    Tags,
    TrackedRun,
    open_tracker,
)
from training.tracking import Metrics as Figures
from training.tracking import Report as Tracked

CHECKPOINTS = Path("checkpoints")
"""Folder for the checkpoints of runs in training, one folder a run."""


@dataclass(frozen=True)
class Candidate:
    """One trained candidate: its config, its bundle on disk, its report on validation and its tracked run."""

    config: Config
    bundle: Path
    validation: Report
    run: TrackedRun
    tracker: MlflowTracker | NullTracker


@dataclass(frozen=True)
class Outcome:
    """What an experiment ends with: all candidates, best first; the best one's report on the test split, where asked for;
    and how often runs of this experiment have read that split, this reading included."""

    candidates: tuple[Candidate, ...]
    test: Report | None
    test_readings: int = 0

    @property
    def chosen(self) -> Candidate:
        return self.candidates[0]


def run_experiment(configs: Sequence[Config], say=print, resume: str | None = None) -> Outcome:
    """Train candidates and export the best.

    Args:
        configs: one a candidate; all must name the same corpus, labels, export folder and evaluation.
        say: called with each line of progress.
        resume: id of a tracked run that was killed while it trained the one candidate, to go on with.

    Raises:
        ClaimstanceError: the configs do not belong together, the corpus is wrong, or tracking cannot be reached; nothing
            is written then.
    """
    _check_comparable(configs)
    _check_resumable(configs, resume)
    first = configs[0]
    check_replaceable(Path(first.export))
    for config in configs:
        if _wants_transformers(config):
            from training.transformers_folder import check_folder

            check_folder(Path(config.model.transformers))
    corpus = load_corpus(first)
    if first.evaluation.test and "test" not in corpus.splits:
        raise ClaimstanceError("evaluation.test is true, but the corpus has no test split; name one or set it to false")
    say(f"corpus: {', '.join(f'{name} {len(part):,}' for name, part in corpus.splits.items())} pairs")
    tracker = open_tracker(first.tracking.uri, first.tracking.experiment, first.tracking.model)
    with tempfile.TemporaryDirectory() as folder:
        candidates = []
        for config in configs:
            candidate = _train(config, corpus, tracker, Path(folder) / config.name, say, resume)
            candidates.append(candidate)
        # The first named wins a tie, so the order of candidates on the command line decides nothing else.
        candidates.sort(key=lambda candidate: -candidate.validation.figures[metrics.MACRO_F1])
        chosen = candidates[0]
        test, readings = None, 0
        if first.evaluation.test:
            test, readings = _read_test(chosen, corpus, say)
        export_model(chosen.bundle, Path(first.export))
        if _wants_transformers(chosen.config):
            with replacing_folder(chosen.config.model.transformers) as fresh:
                shutil.copytree(_transformers(chosen.bundle), fresh, dirs_exist_ok=True)
    return Outcome(tuple(candidates), test, readings)


def export_model(bundle: Path, export: Path) -> None:
    """Copy a bundle and the evidence beside it to ``export``, replacing what was exported there before."""
    for source, target in ((evidence_folder(bundle), evidence_folder(export)), (bundle, export)):
        if source.is_dir():
            with replacing_folder(target) as fresh:
                shutil.copytree(source, fresh, dirs_exist_ok=True)
        elif target.is_dir():
            shutil.rmtree(target)


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


def _check_resumable(configs: Sequence[Config], resume: str | None) -> None:
    """Make sure that what is to be resumed is one encoder, whose run left checkpoints here."""
    if resume is None:
        return
    if len(configs) > 1 or not isinstance(configs[0].model, Encoder):
        raise ClaimstanceError("--resume goes on with one encoder; linear models take seconds, so train them again")
    if not (CHECKPOINTS / resume).is_dir():
        raise ClaimstanceError(
            f"{CHECKPOINTS / resume}: no checkpoints of run {resume} here; resume where it was started, or train it anew"
        )


def check_replaceable(export: Path) -> None:
    """Make sure that the folder to export to holds nothing but an earlier export.

    Raises:
        ClaimstanceError: it is a file, or something else is in it.
    """
    if export.exists() and (not export.is_dir() or not all(map(LAYOUT.may_hold, export.iterdir()))):
        raise ClaimstanceError(f"{export}: holds something else than an exported model; name another folder in export")


def _train(
    config: Config,
    corpus: LoadedCorpus,
    tracker: MlflowTracker | NullTracker,
    folder: Path,
    say,
    resume: str | None,
) -> Candidate:
    say(f"{config.name}: fitting")
    with tracker.run(config.name, config.description, resume) as run:
        if config.distill is not None:
            say(f"{config.name}: asking {config.distill.teacher} about the pairs to learn from")
            corpus = replace(corpus, taught=teach(config, corpus))
        run.record(_inputs(config, corpus))
        train, validation = corpus.splits["train"], corpus.splits["validation"]
        with tempfile.TemporaryDirectory() as files, _checkpoints(config, run) as checkpoints:
            workshop = Workshop(
                Path(files),
                checkpoints,
                resume is not None,
                report=lambda values, step: run.record([Figures(values, step)]),
                transformers=_transformers(folder) if _wants_transformers(config) else None,
            )
            fitted = fit(config, train, validation, corpus.trained_on(config.name), workshop, corpus.taught)
            write_bundle(fitted.bundle, folder)
        say(f"{config.name}: fitting what it is judged by (blind variants, other seeds)")
        write_evidence(config, corpus, fitted, folder, evidence_folder(folder))
        say(f"{config.name}: evaluating on validation")
        report = report_on(folder, corpus, "validation", config)
        if _wants_transformers(config):
            from training.transformers_folder import write_card

            write_card(config, report, _transformers(folder))
        figures = {}
        if config.evaluation.cross_validation:
            say(f"{config.name}: cross-validating, {config.evaluation.cross_validation} folds grouped by event")
            for fold in cross_validate(config, cross_validated_pairs(corpus), config.evaluation.cross_validation):
                run.record([Figures(fold.figures, fold.number)])
                figures = fold.pooled
        run.record([Figures(figures | {"threshold": report.manifest.threshold, "temperature": fitted.temperature})])
        run.record(_results(config, folder, report))
    for line in summaries(figures):
        say(f"{config.name}: {line}")
    return Candidate(config, folder, report, run, tracker)


def _wants_transformers(config: Config) -> bool:
    return isinstance(config.model, Encoder) and config.model.transformers is not None


def _transformers(bundle: Path) -> Path:
    """Where a candidate's folder for transformers stands until the best is chosen: beside its bundle."""
    return bundle.with_name(f"{bundle.name}.transformers")


@contextlib.contextmanager
def _checkpoints(config: Config, run: TrackedRun) -> Iterator[Path | None]:
    """Yield where a tracked encoder keeps its checkpoints; they are removed once it is trained, and left if it is not."""
    if not run.id or not isinstance(config.model, Encoder):
        yield None
        return
    folder = CHECKPOINTS / run.id
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def report_on(bundle: Path, corpus: LoadedCorpus, split: str, config: Config) -> Report:
    """Report on an exported model, from its bundle, on one split; the pages go into the evidence beside it."""
    data, predictor = corpus.splits[split], Predictor.load(bundle)
    report = make_report(
        predictor,
        labelled_pairs(data, config.labels.all),
        bundle=bundle_digest(bundle),
        source=f"the {split} split",
        sha256=corpus.digests[split],
        evidence=read_evidence(bundle),
        macro_over=config.evaluation.macro_over,
    )
    write_report(report, evidence_folder(bundle) / EVIDENCE.report(split))
    return report


def labelled_pairs(data: datasets.Dataset, labels: Sequence[str]) -> LabelledPairs:
    """Turn a split of the corpus into pairs to evaluate on."""
    columns = {name: list(data[name]) for name in FIELDS}
    return LabelledPairs.from_columns(columns | {"stance": [labels[index] for index in columns["stance"]]})


def _read_test(chosen: Candidate, corpus: LoadedCorpus, say) -> tuple[Report, int]:
    """Report on the chosen model on the test split, and record in its run that the split was read."""
    say(f"{chosen.config.name}: final report on the test split")
    config, digest = chosen.config, corpus.digests["test"]
    report = report_on(chosen.bundle, corpus, "test", config)
    with chosen.tracker.resume(chosen.run):
        chosen.run.record(
            [
                Tags({"test_split_read": digest, "chosen": "best of its experiment on validation"}),
                DataInput("test", corpus.splits["test"], config.corpus.test or config.corpus.source),
                Figures({f"test_{name}": value for name, value in report.figures.items()}),
                Evidence(evidence_folder(chosen.bundle) / EVIDENCE.report("test"), EVIDENCE.report("test")),
            ]
        )
    return report, chosen.tracker.count_runs("test_split_read", digest)


def _inputs(config: Config, corpus: LoadedCorpus) -> Iterator[Tracked]:
    yield Params(flat(config.model_dump(mode="json", exclude={"name", "description"})))
    yield Tags({"model_kind": config.model.kind, "corpus_sha256": corpus.digest})
    yield Params({f"corpus_{name}_pairs": len(part) for name, part in corpus.splits.items()})
    if corpus.taught is not None:
        yield Params({"unlabelled_pairs": len(corpus.taught.quotes)})
        yield Tags(corpus.taught.known)
    if isinstance(config.model, Encoder):
        yield Params({"processes": processes.count()})
    yield from data_inputs(config, corpus)


def data_inputs(config: Config, corpus: LoadedCorpus) -> Iterator[Tracked]:
    """Yield the splits that a run learns from and chooses on, as they are tracked."""
    for name in SPLITS[:2]:
        yield DataInput(name, corpus.splits[name], getattr(config.corpus, name) or config.corpus.source)


def _results(config: Config, folder: Path, report: Report) -> Iterator[Tracked]:
    yield Figures({f"validation_{name}": value for name, value in report.figures.items()})
    yield Evidence(evidence_folder(folder))
    low, high = report.scores.interval[metrics.MACRO_F1]
    headline = f"validation macro-F1 {report.figures[metrics.MACRO_F1]:.3f} ({low:.3f} to {high:.3f})"
    summary = f"{config.name}: {headline}. {config.description}"
    yield Tags({"bundle_sha256": report.bundle, "mlflow.note.content": summary})
    tags = {"candidate": config.name, "validation_macro_f1": f"{report.figures[metrics.MACRO_F1]:.3f}"}
    yield Model(folder, report.bundle, config.labels.all, config.model.inputs, summary, tags)
