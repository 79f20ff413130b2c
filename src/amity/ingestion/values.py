"""Columns of tables as typed arrays: ids, times, weights, numbers; what cannot stand is refused with its place."""

from contextlib import suppress
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds
from jaxtyping import Bool, Float32, Float64, Int8, Int64
from numpy import ndarray

from amity.errors import DataError
from amity.graph.adjacency import PARTS
from amity.ingestion.schema import Marker
from amity.ingestion.tables import Chunk, Table
from amity.ingestion.vocabulary import Ids, is_text

_EXACT_FLOAT = 2**53
_PART_NAMES = {"train": 0, "valid": 1, "val": 1, "validation": 1, "dev": 1, "test": 2}
_MICROSECONDS = {"day": 86_400_000_000, "s": 1_000_000, "ms": 1000, "us": 1, "ns": 1}
_NUMBERS = (kinds.is_integer, kinds.is_floating, kinds.is_decimal128, kinds.is_decimal256)
_LISTS = (kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list)


def check_ids(table: Table, column: str) -> bool:
    """Whether a column of ids is text; `DataError` where its type cannot be an id."""
    kind = value_type(table.type_of(column))
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return True
    if kinds.is_integer(kind) or kinds.is_floating(kind):
        return False
    what = "holds only nulls" if kinds.is_null(kind) else f"has the type {kind}"
    raise table.fault(column, None, f"an id is an integer or text, and this column {what}", "Write the ids as int64.")


def read_ids(chunk: Chunk, column: str) -> Ids:
    """A column as ids, int64 or text, nulls still in it; floats must be whole and below 2^53, NaN is null."""
    return to_ids(chunk, column, chunk.columns[column])


def to_ids(chunk: Chunk, column: str, values: pa.Array) -> Ids:
    """Values that stand in a column, or inside its lists, as ids."""
    values = _decoded(values)
    if is_text(values.type):
        return values
    if kinds.is_floating(values.type):
        values = _whole(chunk, column, values)
    if kinds.is_uint64(values.type):
        large = pc.call_function("greater", [values, pa.scalar(2**63 - 1, pa.uint64())])
        remedy = "Write ids and categories as text, times in a coarser unit, amounts as floats."
        _refuse(chunk, column, large, values, "a number beyond the range of int64", remedy)
    return values.cast(pa.int64())


def read_times(chunk: Chunk, column: str) -> Int64[ndarray, "rows"]:
    """A column of times; dates and timestamps in microseconds since 1970."""
    values = _present(chunk, column, chunk.columns[column])
    if kinds.is_date(values.type) or kinds.is_timestamp(values.type):
        values = _microseconds(chunk, column, values)
    elif kinds.is_floating(values.type):
        values = _present(chunk, column, _whole(chunk, column, values))
    elif not kinds.is_integer(values.type):
        raise _wrong_type(chunk.table, column, "a time is an integer, a date or a timestamp")
    return to_ids(chunk, column, values).to_numpy()


def read_weights(chunk: Chunk, column: str) -> Float32[ndarray, "rows"]:
    """A column of weights, finite numbers of either sign."""
    return read_numbers(chunk, column, _present(chunk, column, chunk.columns[column]), finite="a weight").astype(
        np.float32
    )


def read_numbers(chunk: Chunk, column: str, values: pa.Array, *, finite: str = "") -> Float64[ndarray, "rows"]:
    """Values as numbers, NaN where null; text is read as a number, dates are days.

    Infinite ones are refused, and so is NaN where `finite` says what the numbers are.
    """
    values = _decoded(values)
    if kinds.is_date(values.type) or kinds.is_timestamp(values.type):
        moments = _microseconds(chunk, column, values)
        return moments.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) / 86_400e6
    if is_text(values.type):
        values = _parsed(chunk, column, values)
    if not (kinds.is_integer(values.type) or kinds.is_floating(values.type) or kinds.is_boolean(values.type)
            or kinds.is_decimal(values.type) or kinds.is_null(values.type)):  # fmt: skip
        raise _wrong_type(chunk.table, column, "a number is an integer or a float")
    numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        wrong = np.isinf(numbers.astype(np.float32)) | (np.isnan(numbers) if finite else False)
    if wrong.any():
        position = int(wrong.argmax())
        remedy = "Put a finite number there." if finite else "Put a finite number there, or null where it is unknown."
        raise chunk.fault(column, position, f"{finite or 'a number'} is {numbers[position]}", remedy)
    return numbers


def read_counts(chunk: Chunk, column: str, values: pa.Array, *, finite: str = "") -> Float64[ndarray, "rows"]:
    """Values as numbers that are not negative, NaN where null, unless that is refused as by `read_numbers`."""
    numbers = read_numbers(chunk, column, values, finite=finite)
    if (numbers < 0).any():
        position = int((numbers < 0).argmax())
        raise chunk.fault(column, position, f"a count is {numbers[position]:g}", "Counts must not be negative.")
    return numbers


def read_parts(chunk: Chunk, column: str) -> Int8[ndarray, "rows"]:
    """A column that says `train`, `valid` (or `val`, `validation`, `dev`) or `test`, as rows of `PARTS`."""
    values = _present(chunk, column, chunk.columns[column])
    if not is_text(values.type):
        raise _wrong_type(chunk.table, column, "a split column says train, valid or test")
    coded = values.dictionary_encode()
    names = coded.dictionary.to_pylist()
    codes = coded.indices.to_numpy()
    for number, name in enumerate(names):
        if name not in _PART_NAMES:
            position = int((codes == number).argmax())
            raise chunk.fault(column, position, f"{name!r} is no part", f"The parts are {', '.join(PARTS)}.")
    return np.array([_PART_NAMES[name] for name in names], np.int8)[codes]


def read_flags(chunk: Chunk, column: str) -> Bool[ndarray, "rows"]:
    """A true/false column, or one of 0 and 1; null is false."""
    values = chunk.columns[column]
    if kinds.is_integer(values.type):
        strange = pc.call_function("invert", [_is_in(values, [0, 1, None])])
        _refuse(chunk, column, strange, values, "a flag other than 0 and 1", "Use true and false.")
    elif not kinds.is_boolean(values.type):
        raise _wrong_type(chunk.table, column, "a flag is true or false")
    return values.cast(pa.bool_()).to_numpy(zero_copy_only=False) == 1


def without_markers(values: pa.Array, markers: tuple[Marker, ...]) -> pa.Array:
    """Values with null in the place of every marker of a missing one; a marker of another type matches nothing."""
    values = _decoded(values)
    textual = is_text(values.type)
    fitting = [marker for marker in markers if isinstance(marker, str) == textual]
    if not fitting or not (textual or any(test(values.type) for test in _NUMBERS)):
        return values
    compared = values.cast(pa.float32()) if kinds.is_float16(values.type) else values
    missing = _is_in(compared, fitting if textual else _numbers_of(compared.type, fitting))
    return pc.call_function("if_else", [missing, pa.scalar(None, values.type), values])


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists."""
    return any(test(kind) for test in _LISTS)


def flatten(values: pa.Array) -> tuple[pa.Array, Int64[ndarray, "rows"]]:
    """The elements of lists end to end, and the length of every list, 0 for null."""
    lengths = pc.call_function("list_value_length", [values]).fill_null(0).to_numpy().astype(np.int64)
    return values.flatten(), lengths


def present(*columns: pa.Array) -> Bool[ndarray, "rows"]:
    """Where none of some columns is null."""
    return np.logical_and.reduce([values.is_valid().to_numpy(zero_copy_only=False) for values in columns])


def value_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values of a dictionary-encoded column, or the type itself."""
    return kind.value_type if kinds.is_dictionary(kind) else kind


def _is_in(values: pa.Array, choices: list) -> pa.Array:
    return pc.call_function("is_in", [values], pc.SetLookupOptions(value_set=pa.array(choices, values.type)))


def _numbers_of(kind: pa.DataType, markers: list) -> list[pa.Scalar]:
    """The markers that a column of numbers of some type can hold, in that type: there all compare exactly."""
    found = []
    for marker in markers:
        with suppress(pa.ArrowInvalid, OverflowError):
            found.append(pa.scalar(float(marker) if kinds.is_floating(kind) else Decimal(str(marker))).cast(kind))
    return found


def _decoded(values: pa.Array) -> pa.Array:
    if kinds.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(pa.large_string()) if kinds.is_string_view(values.type) else values


def _present(chunk: Chunk, column: str, values: pa.Array) -> pa.Array:
    values = _decoded(values)
    _refuse(chunk, column, values.is_null(), values, "a value is missing", "Fill it in or leave the row out.")
    return values


def _microseconds(chunk: Chunk, column: str, values: pa.Array) -> pa.Array:
    """Dates or timestamps as int64 microseconds since 1970; one that does not fit is refused, not wrapped around."""
    unit = "day" if kinds.is_date32(values.type) else "ms" if kinds.is_date64(values.type) else values.type.unit
    counts = values.cast(pa.int32() if unit == "day" else pa.int64()).cast(pa.int64())
    most = 2**63 // _MICROSECONDS[unit] - 1
    known = counts.fill_null(0).to_numpy()
    far = pa.array((known > most) | (known < -most))
    _refuse(chunk, column, far, counts, "a moment beyond int64 microseconds", "Check the unit of the column.")
    return values.cast(pa.timestamp("us", tz=getattr(values.type, "tz", None)), safe=False).cast(pa.int64())


def _whole(chunk: Chunk, column: str, values: pa.Array) -> pa.Array:
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    known = ~np.isnan(numbers)
    with np.errstate(invalid="ignore"):
        wrong = known & ~((np.abs(numbers) < _EXACT_FLOAT) & (numbers == np.floor(numbers)))
    if wrong.any():
        position = int(wrong.argmax())
        raise chunk.fault(
            column,
            position,
            f"{float(numbers[position])!r} is no whole number below 2^53",
            "Write this column as int64, or ids that are longer as text in Parquet.",
        )
    return pa.array(np.where(known, numbers, 0).astype(np.int64), mask=~known)


def _parsed(chunk: Chunk, column: str, values: pa.Array) -> pa.Array:
    for position, text in enumerate(values.to_pylist()):
        try:
            float(text or 0)
        except ValueError:
            raise chunk.fault(
                column, position, f"{text!r} is no number", 'List it under `missing`, or set type = "category".'
            ) from None
    return pa.array([None if text is None else float(text or "nan") for text in values.to_pylist()], pa.float64())


def _refuse(chunk: Chunk, column: str, wrong: pa.Array, values: pa.Array, what: str, remedy: str) -> None:
    found = wrong.to_numpy(zero_copy_only=False) == 1
    if found.any():
        position = int(found.argmax())
        raise chunk.fault(column, position, f"{what} ({values[position].as_py()!r})", remedy)


def _wrong_type(table: Table, column: str, rule: str) -> DataError:
    return table.fault(column, None, f"{rule}, and this column has the type {table.type_of(column)}", "Convert it.")
