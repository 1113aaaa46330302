"""Visual question answering with networks of transformers: is the answer to a question yes?

DPG-Bench uses the answer, VQAScore its probability; models of all these classes return both. A model's
folder contains the network and its processor, as ``save_pretrained`` writes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nanogen.config.entries import named
from nanogen.config.model_schema import Model
from nanogen.errors import UserError, nearest
from nanogen.metrics.vqa_score import ANSWER, Answers, Images, VQAModel, answer_probability
from nanogen.models.batching import batches
from nanogen.models.initialisation import seeded
from nanogen.models.loading import LibraryNetwork, load_network
from nanogen.weights import first_line

BATCH = 64  # pairs at a time; affects only the rounding of sums
YES, NO = "yes", "no"  # answers of the classes trained on VQA; chat models answer "Yes" and "No"


class _Pairs(ABC):
    """A VQA model that splits pairs of image and question into batches."""

    def __init__(self, network: LibraryNetwork, processor: Any, batch: int = BATCH):
        self.network, self.processor, self.batch = network, processor, batch
        self._device = next(network.parameters()).device

    @abstractmethod
    def _answers(self, inputs: Mapping[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Return (whether the answer is yes, P(yes)) for one batch on the network's device."""

    def _inputs(self, images: list[np.ndarray], questions: list[str]) -> Any:
        """Return the processor's output for pairs, on the CPU."""
        return self.processor(
            images=images, text=questions, padding=True, truncation=True, return_tensors="pt"
        )

    @torch.inference_mode()
    def answer(self, images: Images, rows: np.ndarray, questions: Sequence[str]) -> Answers:
        if len(rows) != len(questions):
            raise ValueError(f"{len(rows)} images, but {len(questions)} questions")
        yes, probability = np.zeros(len(rows), bool), np.zeros(len(rows))
        by_length = np.argsort([len(question.split()) for question in questions], kind="stable")
        for part in batches(len(rows), self.batch):
            pairs = by_length[part]
            pictures = [np.array(images[rows[pair]]) for pair in pairs]
            inputs = self._inputs(pictures, [questions[pair] for pair in pairs]).to(self._device)
            yes[pairs], probability[pairs] = self._answers(inputs)
        return Answers(yes, probability)


class AnswerClassifier(_Pairs):
    """ViltForQuestionAnswering: a score for each of a fixed list of answers.

    The answer is the one with the largest score. P(yes) is the sigmoid of the score of yes, as in
    training.
    """

    protocol = "answers are a classifier's (ViLT), P(yes) is the sigmoid of that answer's score"

    def __init__(self, network: LibraryNetwork, processor: Any, batch: int = BATCH):
        super().__init__(network, processor, batch)
        places = {str(name).lower(): int(place) for place, name in network.config.id2label.items()}
        if YES not in places:
            raise UserError(
                f"the network's config.json has no answer {YES!r} among its {len(places)} labels; "
                "give a network trained to answer questions"
            )
        self._yes = places[YES]

    def _answers(self, inputs: Mapping[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        with seeded("vqa", "order of patches"):  # ViLT shuffles patches, which does not matter
            logits = self.network(**inputs).logits.cpu()
        yes = logits.argmax(1) == self._yes
        return yes.numpy(), logits[:, self._yes].double().sigmoid().numpy()


class AnswerGenerator(_Pairs):
    """BlipForQuestionAnswering: a decoder writes the answer.

    The answer is yes if yes is more probable than no; P(yes) is exp(-mean loss) of its tokens.
    """

    protocol = "the answer yes is more probable than no to a decoder (BLIP), P(yes) is the decoder's"

    def __init__(self, network: LibraryNetwork, processor: Any, batch: int = BATCH):
        super().__init__(network, processor, batch)
        self._tokens = {word: _tokens(processor.tokenizer, word) for word in (YES, NO)}

    def _answers(self, inputs: Mapping[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        seen = encode_images(self.network, inputs["pixel_values"])
        of = {word: np.zeros(len(seen)) for word in self._tokens}
        for word, tokens in self._tokens.items():
            for rows, _, logits in answered(self.network, seen, inputs, tokens):
                of[word][rows.cpu().numpy()] = answer_probability(logits.cpu().numpy(), tokens)
        return of[YES] > of[NO], of[YES]


def encode_images(network: LibraryNetwork, pixels: Tensor) -> Tensor:
    """BLIP's features of images (N, 3, H, W): (N, 1 + patches, width), the class token first."""
    return network.vision_model(pixel_values=pixels).last_hidden_state


def answered(
    network: LibraryNetwork, seen: Tensor, inputs: Mapping[str, Tensor], tokens: np.ndarray
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """BLIP's answers to N questions, in batches of questions of equal length.

    Args:
        seen: features of the image that each question is about.
        inputs: ``input_ids`` (N, L), padded on the right, and ``attention_mask``.
        tokens: the tokens of the answer, (T,).

    Yields the indices of the questions (B,), their features (B, length, width), and the scores (B, T,
    vocabulary) at the answer's T positions. Lengths are not mixed, because the decoder's cross-attention
    does not mask padding (transformers 5.23), so that answers would depend on the rest of the batch.
    """
    start = torch.tensor([[network.decoder_start_token_id, *tokens[:-1].tolist()]], device=seen.device)
    lengths = inputs["attention_mask"].sum(1)
    for length in lengths.unique().tolist():
        rows = (lengths == length).nonzero()[:, 0]
        encoded = network.text_encoder(
            input_ids=inputs["input_ids"][rows, :length],
            encoder_hidden_states=seen[rows],
        ).last_hidden_state
        decoded = network.text_decoder(
            input_ids=start.expand(len(rows), -1), encoder_hidden_states=encoded, use_cache=False
        )
        yield rows, encoded, decoded.logits


class ChatModel(_Pairs):
    """AutoModelForImageTextToText: any vision-language model that continues a text.

    P("Yes") is exp(-mean loss) of the answer's tokens after the question; the answer is yes if its first
    token is more probable than that of "No".
    """

    protocol = 'the answer is the likelier first token of "Yes" and "No", P("Yes") exp(-mean token loss)'

    def __init__(self, network: nn.Module, processor: Any, batch: int = BATCH):
        super().__init__(network, processor, batch)
        self._yes, self._no = (_tokens(processor.tokenizer, word) for word in (ANSWER, "No"))
        processor.tokenizer.padding_side = "left"  # so that answers are at the end

    def _prompt(self, question: str) -> str:
        """Return the question in the model's chat template, followed by the answer."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        turn = [{"role": "user", "content": content}]
        return (
            self.processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False) + ANSWER
        )

    def _inputs(self, images: list[np.ndarray], questions: list[str]) -> Any:
        text = [self._prompt(question) for question in questions]
        return self.processor(
            images=[[image] for image in images], text=text, padding=True, return_tensors="pt"
        )

    def _answers(self, inputs: Mapping[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        count = len(self._yes)
        if not (inputs["input_ids"][:, -count:].cpu() == torch.from_numpy(self._yes)).all():
            raise UserError(
                f"the tokenizer joins {ANSWER!r} to the text before it, so that its probability is not "
                "that of its own tokens; use another vision-language model"
            )
        logits = self.network(**inputs).logits[:, -count - 1 : -1].float().cpu().numpy()
        first = logits[:, 0]
        return first[:, self._yes[0]] > first[:, self._no[0]], answer_probability(logits, self._yes)


def _tokens(tokenizer: Any, word: str) -> np.ndarray:
    """Return the tokens of a word, int64 (T,), without those for the beginning or end of a text."""
    tokens = np.array(tokenizer(word, add_special_tokens=False)["input_ids"], np.int64)
    if not len(tokens) or tokenizer.unk_token_id in tokens:
        raise UserError(f"the tokenizer does not know the answer {word!r}; give another model")
    return tokens


MODELS: dict[str, Callable[..., VQAModel]] = {
    "ViltForQuestionAnswering": AnswerClassifier,
    "BlipForQuestionAnswering": AnswerGenerator,
    "AutoModelForImageTextToText": ChatModel,
}
# Classes that are in no library; `nanogen.interop.judges` writes their folders.
OWN = {
    "MPlug": "nanogen.metrics.mplug:load",
    "ClipFlanT5": "nanogen.metrics.clip_flant5:load",
}


def load_vqa(folder: Path | str, model: Model, batch: int = BATCH) -> VQAModel:
    """Load the model in ``folder``, of the class in the resolved configuration ``model``.

    It runs on the GPU if there is one. Raises UserError for a missing or damaged folder, for a class
    that cannot answer, and for a processor that needs custom code.
    """
    name = model.model_class
    if name in OWN:
        return named(OWN[name])(Path(folder), model)
    if name not in MODELS:
        known = [*MODELS, *OWN]
        raise UserError(f"model {model.name}: {name} cannot answer questions{nearest(name, known)}")
    network = load_network(folder, name).to("cuda" if torch.cuda.is_available() else "cpu")
    return MODELS[name](network, _processor(Path(folder)), batch)


def _processor(folder: Path) -> Any:
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the Rust library `tokenizers` raises plain exceptions
        raise UserError(
            f"{folder} holds no processor for the model's images and questions ({first_line(error)}); "
            "copy it from where the model came from"
        ) from error
