"""A fine-tuned encoder of a bundle: its tokenizer reads claim and quote as a pair, its ONNX graph scores them.

Needs the extra ``encoder`` (onnxruntime and tokenizers); no torch and no transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from claimstance.bundle import EncoderBundle
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.linear import read_lexicon, softmax

try:
    import onnxruntime
    import tokenizers
except ImportError as error:
    raise ClaimstanceError(
        f"this model is an encoder, which needs {error.name}: pip install 'claimstance[encoder]'"
    ) from None

_BATCH = 32
_MOST_TOKENS = 1 << 16
_LARGEST_TOKEN = 1 << 24
_MULTIPLE = 8
"""Lengths are padded to multiples of this: every new shape costs time and memory."""


@dataclass(frozen=True)
class EncoderSettings:
    """How an encoder of a bundle is run: tokens of a pair at most, claim and quote together; the token that pads; whether
    the graph takes token types; what its scores are divided by; and ``fp32`` or ``int8`` weights."""

    max_tokens: int
    pad_token: int
    token_types: bool
    temperature: float
    precision: str

    def __post_init__(self) -> None:
        sound = (
            type(self.max_tokens) is int
            and 8 <= self.max_tokens <= _MOST_TOKENS
            and type(self.pad_token) is int
            and 0 <= self.pad_token <= _LARGEST_TOKEN
            and isinstance(self.token_types, bool)
            and isinstance(self.temperature, float)
            and 1e-3 <= self.temperature <= 1e3
            and self.precision in ("fp32", "int8")
        )
        if not sound:
            raise BundleError(f"settings {asdict(self)} are not an encoder's; export the model again")


class PairTokenizer:
    """Turns quotes and claims into token ids, the claim first; a pair that is too long loses tokens of its longer side.

    Args:
        tokenizer: the text of ``tokenizer.json``.
        max_tokens: of a pair, special tokens included.
        inputs: what the model reads: ``pair``, ``quote`` or ``claim``.
    """

    def __init__(self, tokenizer: str, max_tokens: int, inputs: str) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(tokenizer)
        except Exception as error:
            # The library raises plain Exceptions; whatever it is, the file cannot be used.
            raise BundleError(f"tokenizer cannot be read ({error}); export the model again") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens, strategy="longest_first")
        self._inputs = inputs

    def __call__(self, quotes: Sequence[str], claims: Sequence[str]) -> list[tokenizers.Encoding]:
        """Encode pairs; an encoding with ``overflowing`` parts was truncated."""
        if self._inputs == "pair":
            return self._tokenizer.encode_batch(list(zip(claims, quotes, strict=True)))
        return self._tokenizer.encode_batch(list(quotes if self._inputs == "quote" else claims))


class EncoderModel:
    """Scores pairs with an encoder.

    Raises:
        BundleError: the graph, the tokenizer or the settings cannot be used.
    """

    def __init__(self, bundle: EncoderBundle) -> None:
        manifest = bundle.manifest
        try:
            self.settings = EncoderSettings(**manifest.settings)
        except TypeError as error:
            raise BundleError(f"settings are not an encoder's ({error}); export the model again") from None
        self.lexicon = read_lexicon(bundle.lexicons)
        self._labels = len(manifest.labels)
        try:
            tokenizer = bundle.tokenizer.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"{bundle.tokenizer}: not a text ({error}); export the model again") from None
        self._tokenize = PairTokenizer(tokenizer, self.settings.max_tokens, manifest.inputs)
        try:
            self._session = onnxruntime.InferenceSession(bundle.network, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BundleError(f"{bundle.network}: no graph that can be run ({error}); export the model again") from None
        self._try(bundle)

    def _try(self, bundle: EncoderBundle) -> None:
        """Score one pair, so that a graph of other inputs or labels is found out before anything is asked of it."""
        try:
            scores = self.scores(["a"], ["b"])
        except Exception as error:
            # What the runtime raises depends on what is wrong with the graph.
            raise BundleError(f"{bundle.network}: not the graph of this model ({error}); export it again") from None
        if not np.isfinite(scores).all():
            raise BundleError(f"{bundle.network}: scores that are no numbers; train and export the model again")

    def probabilities(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return the probability of every label (n × k); a pair's differs between batches by rounding alone."""
        return softmax(self.scores(quotes, claims) / self.settings.temperature)

    def scores(self, quotes: Sequence[str], claims: Sequence[str]) -> np.ndarray:
        """Return the scores of every label before the temperature (n × k, float64)."""
        encodings = self._tokenize(quotes, claims)
        return batched_scores(encodings, self.settings, self._labels, lambda feed: self._session.run(None, feed)[0])


def batched_scores(
    encodings: Sequence[tokenizers.Encoding],
    settings: EncoderSettings,
    labels: int,
    network: Callable[[dict[str, np.ndarray]], np.ndarray],
) -> np.ndarray:
    """Score encoded pairs in batches of like length (n × labels, float64); ``network`` scores one padded batch.

    Raises:
        BundleError: the network gives scores of another shape.
    """
    scores = np.empty((len(encodings), labels))
    order = np.argsort([len(encoding.ids) for encoding in encodings], kind="stable")
    for start in range(0, order.size, _BATCH):
        batch = order[start : start + _BATCH]
        chosen = [encodings[index] for index in batch]
        feed = padded([encoding.ids for encoding in chosen], [encoding.type_ids for encoding in chosen], settings)
        given = network(feed)
        if given.shape != (len(batch), labels):
            raise BundleError(f"scores of shape {given.shape}, expected {(len(batch), labels)}")
        scores[batch] = given
    return scores


def padded(
    ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]], settings: EncoderSettings
) -> dict[str, np.ndarray]:
    """Return a batch as a network takes it, by the names of its inputs (n × width, int64 each): as wide as its longest pair,
    rounded up, so that few shapes occur.

    Args:
        ids: token ids of each pair.
        types: token types of each pair, left out of the batch where the network has none.
        settings: how the network is run.
    """
    longest = max(len(row) for row in ids)
    width = min(-(-longest // _MULTIPLE) * _MULTIPLE, max(settings.max_tokens, longest))
    tokens = np.full((len(ids), width), settings.pad_token, dtype=np.int64)
    mask, kinds = np.zeros_like(tokens), np.zeros_like(tokens)
    for row, (token_ids, token_types) in enumerate(zip(ids, types, strict=True)):
        tokens[row, : len(token_ids)] = token_ids
        mask[row, : len(token_ids)] = 1
        kinds[row, : len(token_ids)] = token_types
    batch = {"input_ids": tokens, "attention_mask": mask}
    return batch | ({"token_type_ids": kinds} if settings.token_types else {})
