"""Linears computed by oneDNN have the values and gradients of PyTorch's."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.func import jvp

from nanogen import linear
from nanogen.backbones import layers
from nanogen.linear import Linear, Share, share_of

OPERATOR = "mkldnn::_linear_pointwise"
LARGE, SMALL = (4, 130, 64), (2, 3, 8)  # shapes of inputs

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this PyTorch was built without oneDNN"
)


@pytest.fixture(params=[Share(0, True), Share(0, False)], ids=["all", "but weights"])
def onednn(request, monkeypatch) -> Share:
    """Products by oneDNN, whatever the processor."""
    monkeypatch.setattr(linear, "share_of", lambda _: request.param)
    return request.param


def layer_of(shape, bias=True) -> Linear:
    torch.manual_seed(0)
    return Linear(shape[-1], 96, bias=bias)


def input_of(shape, kind: str) -> torch.Tensor:
    torch.manual_seed(1)
    if kind == "transposed":
        return torch.randn(shape[0], shape[2], shape[1]).transpose(1, 2).requires_grad_()
    if kind == "sliced":
        return torch.randn(shape[0], 2 * shape[1], shape[2]).requires_grad_()[:, ::2]
    return torch.randn(shape).requires_grad_()


def exact_of(layer: nn.Module, x: torch.Tensor, along: torch.Tensor | None) -> list[torch.Tensor]:
    """Output and gradients of the same layer in float64, computed by torch's Linear."""
    plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None).double()
    plain.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    x = x.detach().double().requires_grad_()
    y = plain(x)
    if along is None:
        return [y]
    return [y, *torch.autograd.grad(y, [x, *plain.parameters()], along.double())]


def operators(function) -> list[str]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        function()
    return [event.key for event in profile.key_averages()]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["contiguous", "transposed", "sliced"])
@pytest.mark.parametrize("shape", [LARGE, SMALL])
@needs_onednn
def test_values_and_gradients_are_those_of_the_product(onednn, shape, kind, bias):
    layer, x = layer_of(shape, bias), input_of(shape, kind)
    y = layer(x)
    along = torch.randn_like(y)
    found = [y, *torch.autograd.grad(y, [x, *layer.parameters()], along)]
    for value, exact in zip(found, exact_of(layer, x, along), strict=True):
        torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-4)


@needs_onednn
def test_sampling_has_the_same_values_as_training(onednn):
    layer, x = layer_of(LARGE), input_of(LARGE, "contiguous")
    with torch.no_grad():
        sampled = layer(x)
    assert torch.equal(sampled, layer(x))
    assert sampled.grad_fn is None


@needs_onednn
def test_gradients_of_frozen_weights_and_of_inputs_are_left_out(onednn):
    layer, x = layer_of(LARGE), input_of(LARGE, "contiguous")
    layer.requires_grad_(False)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None
    layer.requires_grad_(True)
    layer(x.detach()).sum().backward()
    assert layer.weight.grad is not None
    assert layer.bias.grad is not None


@needs_onednn
def test_this_pytorch_still_has_the_fast_product_and_only_large_layers_use_it(monkeypatch):
    monkeypatch.setattr(linear, "share_of", lambda _: linear.ALL)
    large, small = (layer_of(shape) for shape in (LARGE, SMALL))
    assert OPERATOR in operators(lambda: large(input_of(LARGE, "contiguous")).sum().backward())
    assert OPERATOR not in operators(lambda: small(input_of(SMALL, "contiguous")).sum().backward())


@needs_onednn
@pytest.mark.parametrize(
    ("vendor", "family", "multiplications", "for_weights"),
    [
        ("AuthenticAMD", 26, 2e6, True),  # Zen 5
        ("AuthenticAMD", 25, 2e8, False),  # Zen 3 and 4
        ("GenuineIntel", 6, None, False),
        ("AuthenticAMD", None, None, False),
    ],
)
def test_the_processor_determines_what_onednn_computes(
    tmp_path, vendor, family, multiplications, for_weights
):
    lines = ["processor\t: 0", f"vendor_id\t: {vendor}", f"cpu family\t: {family}", "model\t\t: 17"]
    if family is not None:
        (tmp_path / "cpuinfo").write_text("\n".join(lines))
    share = share_of(tmp_path / "cpuinfo")
    assert share.gradients_of_weights == for_weights
    assert not share.least <= 1e5
    assert (share.least <= (multiplications or 1e18)) == (multiplications is not None)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_computed_by_pytorch(dtype):
    layer, x = layer_of(LARGE).to(dtype), input_of(LARGE, "contiguous").to(dtype)
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_autocast_returns_bfloat16():
    with torch.autocast("cpu", torch.bfloat16):
        assert layer_of(LARGE)(input_of(LARGE, "contiguous")).dtype == torch.bfloat16


def test_the_forward_mode_derivative_is_the_products():
    torch.manual_seed(0)
    layer = layers.Linear(LARGE[-1], 96)
    x, dx = input_of(LARGE, "contiguous").detach(), torch.randn(LARGE)
    with torch.no_grad():
        y, dy = jvp(layer, (x,), (dx,))
        double = copy.deepcopy(layer).double()
        exact, dexact = jvp(double, (x.double(),), (dx.double(),))
    torch.testing.assert_close(y.double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dy.double(), dexact, rtol=1e-5, atol=1e-5)
