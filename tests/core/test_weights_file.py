"""Safetensors of strangers: what the library writes is read alike, what no honest file has is refused."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import CoreError, WeightsFormatError, WeightsTypeError
from core.weights_file import MAX_HEADER_BYTES, MAX_TENSORS, WeightsFile

Header = dict[str, Any]


def entry(start: int, end: int, shape: list[int] | None = None, dtype: str = "F32") -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(end - start) // 4] if shape is None else shape,
        "data_offsets": [start, end],
    }


def raw(header: bytes, data: bytes = bytes(16), length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def built(header: Header, data: bytes = bytes(16)) -> bytes:
    return raw(json.dumps(header).encode(), data)


def opened(content: bytes) -> WeightsFile:
    return WeightsFile(io.BytesIO(content), len(content))


def test_every_type_and_shape_reads_as_the_library_reads_it(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    given = {
        "a.f64": torch.randn(2, 3, generator=random, dtype=torch.float64),
        "b.f32": torch.randn(4, 1, 2, 2, generator=random),
        "c.f16": torch.randn(5, generator=random).half(),
        "d.bf16": torch.randn(5, generator=random).bfloat16(),
        "e.i64": torch.tensor(7),
        "f.i32": torch.tensor([1, -2], dtype=torch.int32),
        "g.empty": torch.empty(0, 3),
    }
    path = tmp_path / "x.safetensors"
    save_file(given, path, metadata={"format": "pt"})
    with path.open("rb") as file:
        weights = WeightsFile(file, path.stat().st_size)
        read = {name: weights.read(name) for name in weights.tensors}
    expected = load_file(path)
    assert read.keys() == expected.keys() == given.keys()
    for name, value in expected.items():
        assert (read[name].dtype, read[name].shape) == (value.dtype, value.shape)
        assert torch.equal(read[name], value)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "cut off"),
    "three bytes": (lambda: b"abc", "cut off"),
    "a length beyond the file": (lambda: raw(b"{}", b"", 1 << 62), "cut off"),
    "a length beyond what is read": (lambda: raw(b" " * (MAX_HEADER_BYTES + 1), b""), "allowed"),
    "no JSON": (lambda: raw(b"\x80\x04pickle"), "cannot be read"),
    "no UTF-8": (lambda: raw(b'{"\xff": 1}'), "cannot be read"),
    "deep JSON": (lambda: raw(b'{"a":' + b"[" * 100_000), "cannot be read"),
    "a number of a million digits": (lambda: raw(b'{"a":' + b"9" * 1_000_000 + b"}"), "cannot be read"),
    "a list": (lambda: raw(b"[]"), "JSON object"),
    "no tensors": (lambda: built({"__metadata__": {}}, b""), "0 tensors"),
    "too many": (lambda: built({str(n): entry(0, 0) for n in range(MAX_TENSORS + 1)}, b""), "tensors"),
    "a name twice": (
        lambda: raw(b'{"a":%b,"a":%b}' % ((json.dumps(entry(0, 16)).encode(),) * 2)), "name twice",
    ),
    "overlapping": (lambda: built({"a": entry(0, 12), "b": entry(8, 16)}), "overlaps"),
    "the same bytes twice": (lambda: built({"a": entry(0, 16), "b": entry(0, 16)}), "overlaps"),
    "a gap": (lambda: built({"a": entry(0, 4), "b": entry(8, 16)}), "gap"),
    "a gap at the beginning": (lambda: built({"a": entry(4, 16)}), "gap behind the header"),
    "truncated": (lambda: built({"a": entry(0, 16)}, bytes(15)), "ends before"),
    "bytes behind": (lambda: built({"a": entry(0, 16)}, bytes(17)), "goes on"),
    "a shape of another size": (lambda: built({"a": entry(0, 16, [5])}), "not its shape"),
    "sizes that overflow": (lambda: built({"a": entry(0, 16, [1 << 62, 1 << 62, 4])}), "not its shape"),
    "a negative shape": (lambda: built({"a": entry(0, 16, [-2, -2])}), "no sense"),
    "negative offsets": (lambda: built({"a": {**entry(0, 16), "data_offsets": [-16, 0]}}), "no sense"),
    "true for a number": (lambda: built({"a": {**entry(0, 4), "shape": [True]}}, bytes(4)), "no sense"),
    "NaN": (lambda: raw(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}'), "no sense"),
    "more dimensions than any": (lambda: built({"a": entry(0, 16, [1] * 200 + [4])}), "no sense"),
    "backwards": (lambda: built({"a": {**entry(0, 16, [0]), "data_offsets": [16, 0]}}), "not its shape"),
    "something else": (lambda: built({"a": {**entry(0, 16), "code": "x"}}), "nothing else"),
    "no object": (lambda: built({"a": 3}), "nothing else"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_honest_file_has_is_refused(name: str) -> None:
    make, words = HOSTILE[name]
    with pytest.raises(WeightsFormatError, match=words):
        opened(make())


@pytest.mark.parametrize("dtype", ["U8", "F8_E4M3", "BOOL", "object", 3, None, ["F32"]])
def test_other_types_are_refused(dtype: Any) -> None:
    with pytest.raises(WeightsTypeError, match="possible are F64"):
        opened(built({"a": {**entry(0, 16), "dtype": dtype}}))


def test_a_long_name_is_told_in_part() -> None:
    with pytest.raises(CoreError) as refusal:
        opened(built({"n" * 100_000: {**entry(0, 16), "dtype": "U8"}}))
    assert len(str(refusal.value)) < 300
