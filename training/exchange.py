"""The corpus in the formats of two annotation tools, Label Studio and doccano, without loss in either direction.

What a tool changes is the stance alone; every other field of a record travels with the task and comes back as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claimstance.errors import ClaimstanceError, RecordError, did_you_mean
from claimstance.files import read_text, replacing
from claimstance.records import LABELS, Pair, read_json_lines, read_pairs, write_json_lines

CONTROL = "stance"
"""The name of the control that holds the stance in ``LABELLING_CONFIG``, and of its results in a task."""

OBJECT = "quote"
"""The name of the text that the control belongs to."""

# unicode-bidi: plaintext takes the direction of each paragraph from its own first letter, so that Arabic stands
# right-to-left and English left-to-right in one project. It is not inherited, hence the star.
LABELLING_CONFIG = f"""\
<View>
  <Style>.pair, .pair * {{ unicode-bidi: plaintext; text-align: start; }}</Style>
  <View className="pair">
    <Header value="Claim"/>
    <Text name="claim" value="$claim"/>
    <Header value="Speaker"/>
    <Text name="speaker" value="$speaker"/>
    <Header value="Quote"/>
    <Text name="{OBJECT}" value="$quote"/>
  </View>
  <Header value="What stance does the speaker take to the claim?"/>
  <Choices name="{CONTROL}" toName="{OBJECT}" choice="single" required="true" showInline="true">
{"".join(f'    <Choice value="{label}"/>{chr(10)}' for label in LABELS)}  </Choices>
</View>
"""
"""The labelling interface of a Label Studio project into which ``write_label_studio`` files are imported."""


def write_label_studio(pairs: Iterable[Pair], path: str | os.PathLike[str]) -> int:
    """Write pairs as a Label Studio JSON file, one annotated task a pair, and return how many.

    A task's ``data`` holds every field of the record but the stance, which is the one choice of its one annotation; a
    project with ``LABELLING_CONFIG`` imports the file as it is. The format is that of
    https://labelstud.io/guide/task_format.

    Raises:
        ClaimstanceError: the folder of ``path`` does not exist.
    """
    count = 0
    with replacing(path) as handle:
        handle.write("[")
        for count, pair in enumerate(pairs, start=1):
            handle.write("\n" if count == 1 else ",\n")
            handle.write(json.dumps(_task(pair), ensure_ascii=False))
        handle.write("\n]\n")
    return count


def _task(pair: Pair) -> dict[str, Any]:
    data = pair.to_dict()
    choice = {
        "id": CONTROL,
        "from_name": CONTROL,
        "to_name": OBJECT,
        "type": "choices",
        "value": {"choices": [data.pop("stance")]},
    }
    return {"data": data, "annotations": [{"result": [choice]}], "predictions": []}


def read_label_studio(path: str | os.PathLike[str]) -> list[Pair]:
    """Read the pairs of a Label Studio JSON file: one that was written here, or an export of the same project.

    Cancelled annotations are passed over. Of several annotations the one marked as ground truth counts; without such a
    mark they are refused, since choosing among annotators is not for a reader of files.

    Raises:
        ClaimstanceError: the file cannot be read, is not a list of tasks, or a task has not one choice of a stance or is
            not a valid record; the message names the file and the task, counted from 1.
    """
    return _collected(_label_studio_rows(path))


def _label_studio_rows(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    wanted = "a list of Label Studio tasks; export the project as JSON"
    try:
        tasks = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise RecordError(
            f"{path}:{error.lineno}: broken JSON at column {error.colno} ({error.msg}), expected {wanted}"
        ) from None
    except RecursionError:
        raise RecordError(f"{path}: JSON nested too deeply, expected {wanted}") from None
    if not isinstance(tasks, list):
        raise RecordError(f"{path}: {_shown(tasks)}, expected {wanted}")
    if not tasks:
        raise RecordError(f"{path}: the file holds no task, expected {wanted}")
    for number, task in enumerate(tasks, start=1):
        where = f"{path}: task {number}"
        data = task.get("data") if isinstance(task, dict) else task
        if not isinstance(data, dict):
            raise RecordError(
                f"{where}: data is {_shown(data)}, expected an object with the record's fields; "
                f"export the project as JSON, not as JSON-MIN or CSV"
            )
        yield where, _joined(where, "data", data, {"stance": _choice(where, task.get("annotations"))})


def _choice(where: str, annotations: Any) -> Any:
    """Return the choice of the one annotation that counts."""
    if not isinstance(annotations, list) or not all(isinstance(one, dict) for one in annotations):
        raise RecordError(f"{where}: annotations is {_shown(annotations)}, expected a list of objects")
    kept = [one for one in annotations if not one.get("was_cancelled")]
    kept = [one for one in kept if one.get("ground_truth")] or kept
    if len(kept) != 1:
        raise RecordError(
            f"{where}: {len(kept)} annotations that count, expected one; "
            + ("mark one of them as ground truth" if kept else "label the task or leave it out of the export")
        )
    results = kept[0].get("result")
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise RecordError(f"{where}: result is {_shown(results)}, expected a list of objects")
    ours = [one for one in results if one.get("from_name") == CONTROL]
    if len(ours) != 1:
        names = ", ".join(str(one.get("from_name")) for one in results) or "none"
        raise RecordError(
            f"{where}: {len(ours)} results from {CONTROL!r} (results from: {names}), expected one; "
            f"use the project's labelling config, training.exchange.LABELLING_CONFIG"
        )
    value = ours[0].get("value")
    choices = value.get("choices") if isinstance(value, dict) else None
    return _only(where, "choices", choices)


def write_doccano(pairs: Iterable[Pair], path: str | os.PathLike[str]) -> int:
    """Write pairs as doccano JSONL for text classification, and return how many.

    A line has ``text``, the quote; ``label``, a list of the one stance; and ``meta``, an object of all other fields,
    which doccano shows beside the text and exports unchanged.

    Raises:
        ClaimstanceError: the folder of ``path`` does not exist.
    """
    return write_json_lines(path, (_line(pair) for pair in pairs))


def _line(pair: Pair) -> dict[str, Any]:
    meta = pair.to_dict()
    return {"text": meta.pop("quote"), "label": [meta.pop("stance")], "meta": meta}


def read_doccano(path: str | os.PathLike[str]) -> list[Pair]:
    """Read the pairs of a doccano JSONL file: one that was written here, or an export of a project it was imported to.

    A ``label`` may be a text instead of a list of one. What doccano adds on export (``id``, ``Comments``) is its own
    and is passed over.

    Raises:
        ClaimstanceError: the file cannot be read, or a line has not one label or is not a valid record; the message
            starts with ``path:line:``.
    """
    return _collected(_doccano_rows(path))


def _doccano_rows(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in read_json_lines(path):
        where = f"{path}:{number}"
        for name in ("text", "label", "meta"):
            if name not in row:
                raise RecordError(
                    f"{where}: field {name!r} is missing, expected text, label and meta, found {', '.join(row) or 'none'}"
                    f"{did_you_mean(name, row)}"
                )
        label, meta = row["label"], row["meta"]
        if not isinstance(meta, dict):
            raise RecordError(f"{where}: meta is {_shown(meta)}, expected an object with the record's other fields")
        stance = label if isinstance(label, str) else _only(where, "label", label)
        yield where, _joined(where, "meta", meta, {"quote": row["text"], "stance": stance})


def _only(where: str, name: str, values: Any) -> Any:
    if not isinstance(values, list) or len(values) != 1:
        raise RecordError(
            f"{where}: {name} is {_shown(values)}, expected a list of one of {', '.join(LABELS)}; "
            f"give the task one label or leave it out"
        )
    return values[0]


def _joined(where: str, name: str, fields: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    for key in others:
        if key in fields:
            raise RecordError(
                f"{where}: {name} has a field {key!r}, which the task gives elsewhere; remove it from {name}"
            )
    return {**fields, **others}


def _collected(rows: Iterable[tuple[str, dict[str, Any]]]) -> list[Pair]:
    pairs, places = [], {}
    for where, row in rows:
        try:
            pair = Pair.from_dict(row)
        except RecordError as error:
            raise RecordError(f"{where}: {error}") from None
        if pair.id in places:
            raise RecordError(f"{where}: id {pair.id!r} stands in {places[pair.id]} already, expected one record an id")
        places[pair.id] = where
        pairs.append(pair)
    return pairs


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"


@dataclass(frozen=True)
class Format:
    """One format of the corpus: the ending of its files, and the functions that read and write them."""

    ending: str
    read: Callable[[str | os.PathLike[str]], list[Pair]]
    write: Callable[[Iterable[Pair], str | os.PathLike[str]], int]


def _write_corpus(pairs: Iterable[Pair], path: str | os.PathLike[str]) -> int:
    return write_json_lines(path, (pair.to_dict() for pair in pairs))


FORMATS = {
    "doccano": Format("doccano.jsonl", read_doccano, write_doccano),
    "corpus": Format(".jsonl", read_pairs, _write_corpus),
    "label-studio": Format(".json", read_label_studio, write_label_studio),
}
"""The formats by name; the first whose ending a file's name has is that file's."""


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    source_format: str | None = None,
    target_format: str | None = None,
) -> int:
    """Read all pairs of one file and write them to another in its format; return how many.

    Args:
        source: the file to read.
        target: the file to write, which is replaced only when all is read and written.
        source_format: one of ``FORMATS``; without it the ending of the name decides: ``doccano.jsonl``, else ``.jsonl``
            (the corpus's own format), ``.json`` (Label Studio).
        target_format: likewise for ``target``.

    Raises:
        ClaimstanceError: a format or ending is unknown, both names are one file, or the source is not valid.
    """
    reader, writer = _format_of(source, source_format), _format_of(target, target_format)
    if Path(source).resolve() == Path(target).resolve():
        raise ClaimstanceError(f"{target}: is the source as well; name another file to write")
    return writer.write(reader.read(source), target)


def _format_of(path: str | os.PathLike[str], name: str | None) -> Format:
    if name is not None:
        if name not in FORMATS:
            raise ClaimstanceError(
                f"{path}: format {name!r} is not one of {', '.join(FORMATS)}{did_you_mean(name, FORMATS)}"
            )
        return FORMATS[name]
    for known in FORMATS.values():
        if Path(path).name.lower().endswith(known.ending):
            return known
    endings = ", ".join(f"{known.ending} ({name})" for name, known in FORMATS.items())
    raise ClaimstanceError(f"{path}: no format has this ending, expected {endings}; or name the format")
