"""DDT: the output of an untrained network, the effect of conditions, and saving."""

from __future__ import annotations

import json

import pytest
import torch

from nanogen.backbones import DDT, Condition, build, load, save
from nanogen.backbones.compilation import compile_blocks
from nanogen.backbones.embeddings import patches, unpatch
from nanogen.config import stages
from nanogen.config.train_stage import TrainStage
from nanogen.errors import UserError

KEYS = {
    "latent": (4, 6, 6),
    "patch": 2,
    "encoder_width": 32,
    "encoder_depth": 2,
    "encoder_heads": 2,
    "decoder_width": 48,
    "decoder_depth": 1,
    "decoder_heads": 3,
}


def network(kind: str = "label", **changes: int) -> DDT:
    """A network whose weights are all random, including the zero-initialised ones."""
    torch.manual_seed(0)
    keys = KEYS | changes
    if kind == "label":
        model = DDT(conditioner={"kind": "label", "classes": 5, "tokens": 3}, **keys)
    else:
        model = DDT(conditioner={"kind": "text", "tokens": 7}, text_width=12, **keys)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def inputs(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, 4, 6, 6, generator=generator), torch.linspace(0.1, 0.9, count)


def text(lengths: list[int], longest: int, drawn: int | None = None) -> Condition:
    """Random tokens, the first ``longest`` of ``drawn``.

    Masked tokens are large, so that a leak would show.
    """
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randn(len(lengths), drawn or longest, 12, generator=generator)[:, :longest]
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    return Condition(tokens=torch.where(mask[..., None], tokens, 100.0), mask=mask)


def test_leaving_out_tokens_that_no_layer_uses_changes_nothing():
    """The last block of the encoder returns the image's tokens only."""
    model = network()
    block, angles = model.encoder[-1], model.encoder_rotary.angles(0, 5)
    x = torch.randn(2, 14, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    mask = torch.arange(14)[None] < torch.tensor([[14], [12]])
    mask = mask[:, None, None]
    some, every = block(x, angles, mask, 9), block(x, angles, mask)[:, :9]
    torch.testing.assert_close(some, every)
    inputs = [x, *block.parameters()]
    along = torch.randn_like(some)
    found, expected = (torch.autograd.grad(y, inputs, along) for y in (some, every))
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted)


@torch.no_grad()
def test_an_untrained_network_returns_zero():
    x, t = inputs()
    model = DDT(conditioner={"kind": "label", "classes": 5, "tokens": 3}, **KEYS)
    output = model(x, t, Condition(labels=torch.tensor([0, 1, 4]))).image
    assert output.shape == x.shape
    assert not output.any()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["label", "text"])
def test_time_and_condition_change_the_output(kind):
    x, t = inputs(2)
    model = network(kind)
    if kind == "label":
        one, two = (Condition(labels=torch.tensor(pair)) for pair in ([1, 1], [1, 2]))
    else:
        one = text([4, 4], 4)
        two = Condition(tokens=one.tokens[[0, 0]], mask=one.mask)
    first, second = model(x, t, one).image, model(x, t, two).image
    torch.testing.assert_close(first[0], second[0])
    assert (first[1] - second[1]).abs().max() > 1e-3
    assert (model(x, t.flip(0), one).image - first).abs().max() > 1e-3


@torch.no_grad()
def test_padding_of_text_does_not_matter():
    x, t = inputs()
    model = network("text")
    lengths = [2, 5, 1]
    short, long = text(lengths, 5), text(lengths, 5)
    padded = Condition(
        tokens=torch.cat([long.tokens, torch.full((3, 9, 12), -7.0)], dim=1),
        mask=torch.cat([long.mask, torch.zeros(3, 9, dtype=torch.bool)], dim=1),
    )
    torch.testing.assert_close(model(x, t, short).image, model(x, t, padded).image, atol=1e-5, rtol=1e-5)


def test_captions_as_long_as_the_longest_of_a_batch_learn_what_padded_ones_do():
    x, t = inputs()
    lengths, gradients = [2, 5, 1], []
    for longest in (5, 7, 31):
        model = network("text")
        output = model(x, t, text(lengths, longest, 31)).image
        (output - x).square().mean().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    for padded in gradients[1:]:
        torch.testing.assert_close(padded, gradients[0], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_captions_of_any_length_are_compiled_a_few_times():
    compiled: list[int] = []

    def counted(graph, inputs):
        compiled.append(len(inputs))
        return graph.forward

    # more blocks than versions of a function that the compiler keeps
    model = network("text", encoder_depth=12)
    torch.compiler.reset()
    compile_blocks(model, counted)
    x, t = inputs()
    for longest in (5, 2, 7, 4, 6, 3, 9, 17, 31):
        model(x, t, text([2, 1, 0], longest)).image.sum().backward()
    assert len(compiled) <= 6


@pytest.mark.parametrize("lengths", [[2, 5, 1], [0, 3, 0], [4, 0, 4], [0, 0, 0]])
def test_padding_left_out_between_attention_layers_changes_neither_outputs_nor_gradients(
    lengths, monkeypatch
):
    x, t = inputs()
    outputs, gradients = [], []
    for packed in (True, False):
        model = network("text", repa_depth=1, repa_width=8)
        if not packed:
            monkeypatch.setattr(model, "packing", lambda mask, sequence: None)
        found = model(x, t, text(lengths, 6))
        loss = (found.image - x).square().mean() + found.hidden.square().mean()
        loss.backward()
        outputs.append((found.image, found.hidden))
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_a_block_computes_the_tokens_of_the_texts_and_no_padding():
    x, t = inputs()
    model, rows = network("text"), []
    hook = lambda module, given: rows.append(given[0].flatten(0, -2).shape[0])  # noqa: E731
    model.encoder[0].mlp.register_forward_pre_hook(hook)
    for lengths in ([2, 5, 1], [0, 5, 0], [5, 5, 5], [0, 0, 0]):
        model(x, t, text(lengths, 7))
    others = rows[-1]
    assert [count - others for count in rows] == [8, 5, 15, 0]


@torch.no_grad()
def test_an_empty_prompt_equals_a_dropped_one():
    x, t = inputs()
    model = network("text")
    dropped = model.conditioner.dropped(text([2, 5, 1], 5), torch.ones(3, dtype=torch.bool))
    empty = model.conditioner.null(text([2, 5, 1], 5))
    assert empty.length == 0
    expected = model(x, t, empty).image
    assert expected.isfinite().all()
    torch.testing.assert_close(model(x, t, dropped).image, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_dropping_concerns_the_chosen_samples_only():
    x, t = inputs()
    where = torch.tensor([False, True, False])
    label, prompt = network("label"), network("text")
    for model, condition in (
        (label, Condition(labels=torch.tensor([0, 1, 4]))),
        (prompt, text([2, 5, 1], 5)),
    ):
        plain = model(x, t, condition).image
        dropped = model(x, t, model.conditioner.dropped(condition, where)).image
        torch.testing.assert_close(dropped[~where], plain[~where])
        assert (dropped[where] - plain[where]).abs().max() > 1e-3
    null = label.conditioner.dropped(Condition(labels=torch.tensor([0, 1, 4])), where)
    assert null.labels.tolist() == [0, 5, 4]  # the last row of the table


@torch.no_grad()
def test_samples_of_a_batch_do_not_see_each_other():
    x, t = inputs()
    model = network("text")
    condition = text([2, 5, 1], 5)
    together = model(x, t, condition).image
    for i in range(3):
        alone = Condition(tokens=condition.tokens[i : i + 1], mask=condition.mask[i : i + 1])
        one = model(x[i : i + 1], t[i : i + 1], alone).image
        torch.testing.assert_close(one, together[i : i + 1], atol=1e-5, rtol=1e-5)


def test_patches_keep_their_places():
    x = torch.arange(2 * 3 * 4 * 6).view(2, 3, 4, 6)
    cells = patches(x, 2)
    assert cells.shape == (2, 6, 12)
    assert cells[1, 4].tolist() == x[1, :, 2:4, 2:4].flatten().tolist()  # row 1, column 1
    back = cells.view(2, 6, 3, 2, 2).permute(0, 1, 3, 4, 2).flatten(2)  # (C, p, p) -> (p, p, C)
    assert torch.equal(unpatch(back, 2, 3, 2, 3), x)


@pytest.mark.parametrize("task", ["imagenet", "t2i"])
def test_initial_weights_depend_on_seed_method_and_task_alone(tiny, task):
    stage = stages.train(tiny(), "jit", task)
    torch.manual_seed(1)
    one = build(TrainStage.from_json(stage)).state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))  # building does not advance the global generator
    torch.manual_seed(2)
    two = build(TrainStage.from_json(stage)).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = build(TrainStage.from_json({**stage, "seed": 1})).state_dict()
    assert not torch.equal(one["encoder_patches.weight"], other["encoder_patches.weight"])


def test_a_saved_network_is_the_same_and_damage_is_named(tmp_path):
    model = network("text")
    save(tmp_path, model, model.state_dict())
    x, t = inputs()
    condition = text([2, 5, 1], 5)
    again = load(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(x, t, condition).image, model(x, t, condition).image)
    weights = tmp_path / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"model\.safetensors has \d+ of \d+ bytes"):
        load(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match=r"model.safetensors does not exist"):
        load(tmp_path)


def test_weights_of_another_size_are_refused(tmp_path):
    model = network()
    save(tmp_path, model, model.state_dict())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "encoder_depth": 3}))
    with pytest.raises(UserError, match="does not hold this network's weights"):
        load(tmp_path)


def residual_types(model: torch.nn.Module, run) -> dict[str, set[torch.dtype]]:
    """Types of the residual stream in the encoder and in the decoder, under bfloat16 autocast."""
    seen: dict[str, set[torch.dtype]] = {"encoder": set(), "decoder": set()}
    for part, types in seen.items():
        for block in getattr(model, part):
            block.register_forward_hook(
                lambda _, given, made, types=types: types.update({given[0].dtype, made.dtype})
            )
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        run()
    return seen


@pytest.mark.parametrize("kind", ["label", "text"])
def test_the_encoders_stream_is_float32_under_autocast(kind):
    """As in the authors' code, where joining tokens promotes them to the type of the learned ones."""
    model, (x, t) = network(kind), inputs()
    condition = Condition(labels=torch.tensor([0, 1, 4])) if kind == "label" else text([2, 7, 3], 7)
    types = residual_types(model, lambda: model(x, t, condition))
    assert types == {"encoder": {torch.float32}, "decoder": {torch.bfloat16}}


def test_with_reg_the_decoders_stream_is_float32_too():
    torch.manual_seed(0)
    model = DDT(conditioner={"kind": "label", "classes": 5, "tokens": 3}, cls_width=6, **KEYS)
    x, t = inputs()
    condition = Condition(labels=torch.tensor([0, 1, 4]))
    types = residual_types(model, lambda: model(x, t, condition, cls=torch.randn(3, 6)))
    assert types == {"encoder": {torch.float32}, "decoder": {torch.float32}}
