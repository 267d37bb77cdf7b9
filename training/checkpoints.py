"""Checkpoints of a run that may be killed: each is listed with its digests once it is whole, and only listed ones are read.

Resuming reads optimiser and random states, which are pickles; so a checkpoint that the run did not write itself, or that was
altered since, is refused.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from claimstance.errors import ClaimstanceError
from claimstance.files import read_text, replacing, sha256
from training import processes

_LIST = "written.json"


class RecordCheckpoints(TrainerCallback):
    """Lists every file of a checkpoint, with its SHA-256, beside the checkpoints when it is saved; of the others, only the best
    is kept.

    The Trainer would remove an older checkpoint before the newer one is listed, so that a run killed between the two could not
    be resumed. Here whatever is removed has left the list first.
    """

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        # Every process has written its random state by then.
        processes.wait()
        if state.is_world_process_zero:
            folder = Path(args.output_dir)
            kept = {Path(path).name for path in (state.best_model_checkpoint,) if path}
            listed = {name: files for name, files in _written(folder).items() if name in kept}
            newest = f"checkpoint-{state.global_step}"
            with replacing(folder / _LIST) as file:
                json.dump({**listed, newest: _digests(folder / newest)}, file, indent=1)
            for path in folder.glob("checkpoint-*"):
                if path.name not in {*kept, newest}:
                    shutil.rmtree(path)


def last_checkpoint(folder: Path | None) -> str | None:
    """Return the newest checkpoint that was wholly written; None where the run was killed before its first.

    Raises:
        ClaimstanceError: a file of it is not the one that the run wrote.
    """
    if folder is None or not folder.is_dir():
        return None
    written = _written(folder)
    whole = [name for name in written if (folder / name).is_dir()]
    if not whole:
        return None
    name = max(whole, key=lambda name: int(name.rpartition("-")[2]))
    if _digests(folder / name) != written[name]:
        raise ClaimstanceError(
            f"{folder / name}: not as the run wrote it, so it is not read; remove this checkpoint to resume from the one before"
        )
    return str(folder / name)


def _written(folder: Path) -> dict[str, dict[str, str]]:
    return json.loads(read_text(folder / _LIST)) if (folder / _LIST).is_file() else {}


def _digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
