"""``python -m training promote RUN|BUNDLE``: hold a model to the gate and, if it passes, make it champion.

RUN is the id of a tracked run, BUNDLE a folder with an exported model. The champion bears the alias ``champion`` in the
model registry and stands in the folder that the gate names. Exit code 0: it is champion; 1: refused; 2: an error.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from claimstance.bundle import bundle_digest, read_bundle
from claimstance.cli import reporting_errors
from claimstance.console import console, progress
from claimstance.errors import ClaimstanceError
from claimstance.files import sha256
from evaluation.evidence import evidence_folder
from training.config import read_section
from training.experiment import check_replaceable, export_model
from training.gate import GateConfig, Judgement, judge
from training.tracking import Evidence, MlflowTracker, Model, NullTracker, Tags, open_tracker

DEFAULT_GATE = "configs/gates/claim-stance.yaml"
REFUSED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training promote", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="RUN|BUNDLE", help="id of a tracked run, or folder of an exported model")
    parser.add_argument("--gate", default=DEFAULT_GATE, metavar="FILE", help=f"the bounds (default: {DEFAULT_GATE})")
    parser.add_argument("--force", metavar="REASON", help="promote even if refused; the reason is recorded")
    options = parser.parse_args(arguments)
    codes = [0]
    code = reporting_errors(lambda: codes.append(_promote(options.target, options.gate, options.force)), "promote")
    return code or codes[-1]


def _promote(target: str, gate: str, force: str | None) -> int:
    if force is not None and not force.strip():
        raise ClaimstanceError(
            "--force needs the reason for which the gate is overruled, such as --force 'fixes a crash'"
        )
    config = read_section(gate, GateConfig)
    check_replaceable(Path(config.export))
    tracker = open_tracker(config.tracking.uri, config.tracking.experiment, config.tracking.model)
    with tempfile.TemporaryDirectory() as folder:
        challenger, version = _challenger(tracker, target, Path(folder) / "challenger")
        champion = _champion(tracker, config, Path(folder) / "champion")
        export = Path(config.export)
        name = read_bundle(challenger).manifest.name
        if champion is not None and bundle_digest(champion) == bundle_digest(challenger):
            if not export.is_dir() or bundle_digest(export) != bundle_digest(challenger):
                export_model(challenger, export)
            print(f"{name} is the champion already: {export}")
            return 0
        judgement = judge(config, challenger, champion, progress)
        _print_judgement(name, judgement)
        promoted = judgement.passed or force is not None
        verdict = "passed" if judgement.passed else f"forced: {force}" if promoted else "refused"
        if isinstance(tracker, MlflowTracker):
            version = version or _register(tracker, challenger, judgement)
            tracker.decide(version, _tags(judgement, verdict, gate), champion=promoted)
        if not promoted:
            failed = ", ".join(line.name for line in judgement.lines if not line.passed)
            print(f"refused: {name} fails {failed}; the champion stays. To overrule the gate: --force 'REASON'")
            return REFUSED
        export_model(challenger, export)
    where = f"version {version} of {config.tracking.model}, " if version else ""
    print(f"{verdict}: {name} is champion, {where}exported to {export}")
    return 0


def _challenger(tracker: MlflowTracker | NullTracker, target: str, folder: Path) -> tuple[Path, str | None]:
    """Return the challenger's bundle and its version in the registry, if it has one."""
    if Path(target).is_dir():
        digest = bundle_digest(target) if read_bundle(target) else ""
        return Path(target), tracker.version_of_bundle(digest) if isinstance(tracker, MlflowTracker) else None
    if not isinstance(tracker, MlflowTracker):
        raise ClaimstanceError(
            f"{target}: no such folder, and nothing is tracked (tracking.uri is null); name a folder"
        )
    version = tracker.version_of_run(target)
    return tracker.download(version, folder), version


def _champion(tracker: MlflowTracker | NullTracker, config: GateConfig, folder: Path) -> Path | None:
    if isinstance(tracker, MlflowTracker):
        version = tracker.champion()
        return tracker.download(version, folder) if version else None
    return Path(config.export) if Path(config.export).is_dir() else None


def _register(tracker: MlflowTracker, bundle: Path, judgement: Judgement) -> str:
    """Register a bundle that no run of this registry made."""
    report = judgement.report
    manifest = report.manifest
    with tracker.run(manifest.name, "an exported model brought to the gate") as run:
        if evidence_folder(bundle).is_dir():
            run.record([Evidence(evidence_folder(bundle))])
        description = f"{manifest.name}: brought to the gate as a folder"
        model = Model(
            bundle, report.bundle, manifest.labels, manifest.inputs, description, {"candidate": manifest.name}
        )
        run.record([Tags({"bundle_sha256": report.bundle}), model])
    return run.version


def _tags(judgement: Judgement, verdict: str, gate: str) -> dict[str, str]:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    lines = {
        f"gate.{line.name}": f"{'pass' if line.passed else 'FAIL'}: {line.found}; wanted {line.wanted}"
        for line in judgement.lines
    }
    return {"gate": verdict, "gate.when": when, "gate.bounds_sha256": sha256(gate), **lines}


def _print_judgement(name: str, judgement: Judgement) -> None:
    report = judgement.report
    table = Table(title=f"The gate, for {name}: {len(report.pairs):,} validation pairs", title_justify="left")
    for column in ("asked", "found", "wanted", ""):
        table.add_column(column, no_wrap=column in ("asked", ""))
    for line in judgement.lines:
        verdict = Text("pass", style="green") if line.passed else Text("FAIL", style="bold red")
        table.add_row(line.name, Text(line.found), line.wanted, verdict)
    console().print(table)
