"""Parquet files, read and written in pieces of bounded size. Needs the extra ``parquet`` (pyarrow).

Pieces travel between processes, and wait in an unfinished file, as Arrow streams: several can stand one behind the other.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from claimstance.errors import ClaimstanceError, RecordError

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError:
    raise ClaimstanceError(
        "a Parquet file is read and written by pyarrow: pip install 'claimstance[parquet]'"
    ) from None

_MOST_ROWS = 2048
_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 1 << 26


def heading_and_rows(path: str) -> tuple[tuple[str, ...], int]:
    """Return the names of a file's columns, and how many rows it has.

    Raises:
        ClaimstanceError: it is not a whole Parquet file.
    """
    with _opened(path) as file:
        return tuple(file.schema_arrow.names), file.metadata.num_rows


def schema_of(path: str) -> pa.Schema:
    """Return the names and types of a file's columns."""
    with _opened(path) as file:
        return file.schema_arrow


def blocks(path: str, start: int, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the rows from ``start``, where a block begins, as Arrow streams of about ``size`` bytes, each with its first row
    and the row behind it.

    Raises:
        ClaimstanceError: the file is damaged.
    """
    with _opened(path) as file:
        first = 0
        for group in range(file.metadata.num_row_groups):
            rows, width = file.metadata.row_group(group).num_rows, file.metadata.row_group(group).total_byte_size
            if first + rows <= start:
                first += rows
                continue
            most = max(1, min(_MOST_ROWS, size * rows // max(width, 1)))
            for batch in file.iter_batches(most, [group], use_threads=False):
                behind = first + batch.num_rows
                if first >= start:
                    yield stream(batch), first, behind
                first = behind


def stream(batch: pa.RecordBatch) -> bytes:
    """Return a batch as one Arrow stream, compressed."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def batch_of(data: bytes) -> pa.RecordBatch:
    """Return the batch of one Arrow stream."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_next_batch()


def rows_of(data: bytes | pa.RecordBatch, number: int) -> Iterator[tuple[int, dict[str, Any] | RecordError, str]]:
    """Yield the rows as ``tables.Row``: values that JSON has no kind for as text (bytes in Base64, no number as null)."""
    batch = batch_of(data) if isinstance(data, bytes) else data
    columns = [_plain(column) for column in batch.columns]
    for index, values in enumerate(zip(*columns, strict=True)):
        broken = [name for name, value in zip(batch.schema.names, values, strict=True) if value is _NOT_UTF8]
        row = RecordError(f"{broken[0]} is not UTF-8") if broken else dict(zip(batch.schema.names, values, strict=True))
        yield number + index, row, ""


_NOT_UTF8 = object()


def texts(batch: pa.RecordBatch, name: str) -> list[Any]:
    """Return the values of one column; what is no sound text is something else than a text."""
    return _plain(batch.column(name))


def is_text(field: pa.Field) -> bool:
    """Say whether a column holds texts (or, unknown yet, nothing but nulls)."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    return any(
        is_it(kind)
        for is_it in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    )


def rows_at(batch: pa.RecordBatch, indices: Sequence[int]) -> pa.RecordBatch:
    """Return some rows of a batch."""
    return batch.take(pa.array(indices, pa.int64()))


def with_prediction(
    batch: pa.RecordBatch, names: Sequence[str], stances: Sequence[str | None], figures: np.ndarray
) -> pa.RecordBatch:
    """Add a column of stances (n) and one for every column of figures (n × m) under the ``names`` (1 + m)."""
    columns = [pa.array(stances, pa.string()), *(pa.array(column) for column in np.ascontiguousarray(figures.T))]
    return pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=predicted(batch.schema, names))


def predicted(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Add the columns of a prediction to a schema."""
    kinds = [pa.string(), *[pa.float64()] * (len(names) - 1)]
    return pa.schema([*schema, *map(pa.field, names, kinds)], metadata=schema.metadata)


def text_schema(names: Sequence[str]) -> pa.Schema:
    """Return the schema of columns of texts."""
    return pa.schema([pa.field(name, pa.string()) for name in names])


def text_batch(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> pa.RecordBatch:
    """Return rows of texts as a batch."""
    columns = list(zip(*rows, strict=True)) or [[]] * len(names)
    return pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], schema=text_schema(names))


def join(source: BinaryIO, target: str | os.PathLike[str], schema: pa.Schema) -> None:
    """Write Arrow streams that stand one behind the other as one Parquet file, its groups of rows of equal size."""
    with pq.ParquetWriter(target, schema) as writer:
        group: list[pa.RecordBatch] = []
        rows = size = 0
        for batch in _batches(source):
            group.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(group, schema))
                group, rows, size = [], 0, 0
        if group:
            writer.write_table(pa.Table.from_batches(group, schema))


def _batches(source: BinaryIO) -> Iterator[pa.RecordBatch]:
    end = source.seek(0, os.SEEK_END)
    source.seek(0)
    while source.tell() < end:
        with pa.ipc.open_stream(source) as reader:
            yield from reader


def _plain(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    elif pa.types.is_floating(kind):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = [_one(value) for value in column]
    if any(
        is_bytes(kind) for is_bytes in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    ):
        return [value if value is None else base64.b64encode(value).decode("ascii") for value in values]
    return values


def _one(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return _NOT_UTF8


@contextlib.contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    try:
        # A group of rows may be larger than the memory: its columns are read through small buffers.
        with pq.ParquetFile(path, buffer_size=1 << 18, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ClaimstanceError(
            f"{path}: no Parquet file, or damaged or cut short ({reason}); copy or write it again"
        ) from None
