"""Models that answer questions: P(yes) of each model class against the network's own output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nanogen.config.model_schema import Model
from nanogen.errors import UserError
from nanogen.metrics import vqa_score
from nanogen.metrics.vqa import load_vqa
from nanogen.models.loading import save_network
from nanogen.small_networks.vqa import processor_of, word_tokenizer

QUESTIONS = ["Is there a circle?", "Is the square red?", "Are there two crosses of any kind at all?"]
TEXTS = [*QUESTIONS, vqa_score.question("a red circle"), "Yes", "No"]
SIDE = 32
SMALL = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def config(model_class, **keys):
    return Model(name="vqa", kind="vqa", model_class=model_class, input_size=SIDE, max_tokens=40, **keys)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)


@pytest.fixture
def pairs(images):
    """(images, rows, questions) of 12 questions, each about one image."""
    rows = np.arange(12) % len(images)
    return images, rows, [QUESTIONS[i % len(QUESTIONS)] for i in range(12)]


def _vilt(folder, answers=("no", "yes", "two")):
    from transformers import (
        ViltConfig,
        ViltForQuestionAnswering,
        ViltImageProcessor,
        ViltProcessor,
    )

    tokenizer = word_tokenizer(TEXTS)
    tokenizer.model_max_length = 40
    config = ViltConfig(
        **SMALL,
        vocab_size=len(tokenizer),
        image_size=SIDE,
        patch_size=16,
        id2label=dict(enumerate(answers)),
        label2id={name: place for place, name in enumerate(answers)},
        initializer_range=0.5,
    )
    network = ViltForQuestionAnswering(config).eval()
    processor = ViltProcessor(ViltImageProcessor(size={"shortest_edge": SIDE}), tokenizer)
    save_network(network, folder)
    processor.save_pretrained(folder)
    return network, processor


def _blip(folder):
    from nanogen.small_networks.vqa import build, save

    tokenizer = word_tokenizer(TEXTS)
    architecture = {
        "vision_config": {**SMALL, "patch_size": 16},
        "text_config": {**SMALL, "initializer_range": 0.3},
    }
    model = config("BlipForQuestionAnswering", architecture=architecture)
    network, processor = build(model, tokenizer).eval(), processor_of(model, tokenizer)
    save(network, processor, folder)
    return network, processor


def _llava(folder):
    """Save a chat model of a tiny CLIP and a tiny Llama."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = word_tokenizer([*TEXTS, "USER ASSISTANT :"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    template = (
        "{% for message in messages %}USER: {% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %} ASSISTANT: {% endfor %}"
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    text = LlamaConfig(
        **SMALL,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(**SMALL, image_size=SIDE, patch_size=16, projection_dim=16)
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    network = LlavaForConditionalGeneration(config).eval()
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return network, processor


CLASSES = {
    "ViltForQuestionAnswering": _vilt,
    "BlipForQuestionAnswering": _blip,
    "AutoModelForImageTextToText": _llava,
}


@pytest.fixture(scope="module", params=CLASSES)
def saved(request, tmp_path_factory):
    """(class, folder, network, processor) of a random model, saved in the usual way."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("vqa")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return request.param, folder, *CLASSES[request.param](folder)


def test_the_formula_is_the_exponential_of_the_mean_loss():
    logits = torch.randn(6, 3, 11, generator=torch.Generator().manual_seed(0))
    tokens = torch.randint(11, (6, 3), generator=torch.Generator().manual_seed(1))
    loss = torch.stack(
        [F.cross_entropy(scores, row) for scores, row in zip(logits, tokens, strict=True)]
    )
    found = vqa_score.answer_probability(logits.numpy(), tokens.numpy())
    np.testing.assert_allclose(found, loss.neg().exp().numpy(), rtol=1e-6)
    same = vqa_score.answer_probability(logits.numpy(), tokens[0].numpy())
    assert same[0] == found[0]


def test_what_is_asked_of_a_prompt():
    asked = vqa_score.question('a "large" cup')
    assert asked == 'Does this figure show "a "large" cup"? Please answer yes or no.'
    assert vqa_score.text_of(asked) == 'a "large" cup'


def test_the_score_is_a_mean_over_images_as_in_the_authors_evaluation():
    prompts = [{"prompt": "a", "tag": "x"}, {"prompt": "b", "tag": "y"}, {"prompt": "c", "tag": "y"}]
    values = vqa_score.score(prompts, [0, 0, 0, 1, 2], [0.1, 0.2, 0.3, 0.8, 0.5])
    assert values == {
        "genai_bench": pytest.approx((0.1 + 0.2 + 0.3 + 0.8 + 0.5) / 5),
        "vqa_score_x": pytest.approx(0.2),
        "vqa_score_y": pytest.approx(0.65),
    }


def test_answers_do_not_depend_on_the_batch(saved, pairs):
    name, folder, *_ = saved
    model = config(name)
    found = [load_vqa(folder, model, batch).answer(*pairs) for batch in (1, 7, 64)]
    for other in found[1:]:
        np.testing.assert_allclose(other.probability, found[0].probability, rtol=1e-4, atol=1e-6)
        assert (other.yes == found[0].yes).all()
    assert found[0].probability.std() > 1e-3  # images and questions have an effect
    assert ((found[0].probability >= 0) & (found[0].probability <= 1)).all()


def test_the_probability_is_what_the_network_itself_says(saved, pairs):
    name, folder, network, processor = saved
    images, rows, questions = pairs
    found = load_vqa(folder, config(name)).answer(*pairs)
    for place in (0, 1, 2):
        with torch.no_grad():
            expected = DIRECT[name](network, processor, images[rows[place]], questions[place])
        assert found.probability[place] == pytest.approx(expected, rel=1e-4)


def _direct_vilt(network, processor, image, question):
    inputs = processor(images=[image], text=[question], return_tensors="pt")
    return network(**inputs).logits[0, 1].sigmoid().item()


def _direct_blip(network, processor, image, question):
    """P(yes) from the class's own loss, whose labels are the start token and the answer."""
    inputs = processor(images=[image], text=[question], return_tensors="pt")
    start, yes = processor.tokenizer.convert_tokens_to_ids(["[DEC]", "yes"])
    loss = network(**inputs, labels=torch.tensor([[start, yes]])).loss
    return loss.neg().exp().item()


def _direct_llava(network, processor, image, question):
    text = f"USER: <image> {question} ASSISTANT: Yes"
    inputs = processor(images=[image], text=[text], return_tensors="pt")
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[:, -1] = inputs["input_ids"][:, -1]
    return network(**inputs, labels=labels).loss.neg().exp().item()


DIRECT = {
    "ViltForQuestionAnswering": _direct_vilt,
    "BlipForQuestionAnswering": _direct_blip,
    "AutoModelForImageTextToText": _direct_llava,
}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_answers_as_the_cpu_does(saved, pairs):
    name, folder, *_ = saved
    answering = load_vqa(folder, config(name))
    assert next(answering.network.parameters()).is_cuda
    found = answering.answer(*pairs)
    on_cpu = type(answering)(answering.network.cpu(), answering.processor).answer(*pairs)
    np.testing.assert_allclose(found.probability, on_cpu.probability, rtol=1e-2)


def test_a_model_that_cannot_answer_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot answer questions; did you mean 'BlipForQuestion"):
        load_vqa(tmp_path, config("BlipForQuestionAnswer"))
    with pytest.raises(UserError, match=r"no config\.json"):
        load_vqa(tmp_path, config("BlipForQuestionAnswering"))
    _vilt(tmp_path, answers=("cat", "dog"))
    with pytest.raises(UserError, match="no answer 'yes' among its 2 labels"):
        load_vqa(tmp_path, config("ViltForQuestionAnswering"))
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="holds no processor"):
        load_vqa(tmp_path, config("ViltForQuestionAnswering"))
