"""The authors' networks, loaded by their own parameter names, reproduce the authors' outputs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from golden_files import Golden, every

from nanogen.errors import UserError
from nanogen.interop import load_reference

INPUTS = ("label", "context", "attn_mask", "cls_t", "t_abs")


def reference(folder, name):
    """Arrays as tensors, weights by public name and constructor arguments of a golden file."""
    data = np.load(folder / f"ddt_{name}.npz")
    values = {key: torch.from_numpy(data[key]) for key in data.files if key != "meta" and data[key].ndim}
    params = {k.removeprefix("param/"): v for k, v in values.items() if k.startswith("param/")}
    return values, params, json.loads(str(data["meta"]))


@pytest.mark.parametrize("path", every("ddt_*.npz"))
def test_the_outputs_are_those_of_the_authors_code(path):
    golden = Golden.read(path)
    values, module = golden.values, load_reference(golden.params(), golden.meta)
    with torch.no_grad():
        outputs = module(values["x"], values["t"], **{k: values[k] for k in INPUTS if k in values})
    expected = [values[key] for key in ("out0", "out1") if key in values]
    assert isinstance(outputs, tuple)
    assert len(outputs) == len(expected)
    for output, wanted in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, wanted, rtol=1e-5, atol=1e-5)


def test_every_wrong_name_and_shape_is_listed(golden_folder):
    _, params, meta = reference(golden_folder, "label")
    params["x_embedder.project.bias"] = params.pop("x_embedder.proj.bias")
    params["blocks.2.attn.q.weight"] = params["blocks.2.attn.q.weight"][:5]
    with pytest.raises(UserError) as error:
        load_reference(params, meta)
    assert "1 missing: x_embedder.proj.bias" in str(error.value)
    assert "1 unexpected: x_embedder.project.bias" in str(error.value)
    assert "blocks.2.attn.q.weight 5x32 instead of 32x32" in str(error.value)


def test_a_long_list_is_shortened(golden_folder):
    _, params, meta = reference(golden_folder, "label")
    with pytest.raises(UserError, match=r"113 missing: .* and 101 more$"):
        load_reference({}, meta)
    assert len(params) == 113
