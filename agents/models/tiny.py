"""The embedded default: a small Qwen3 policy whose tokens are ALFWorld's words and phrases.

A tokenizer of a few hundred tokens makes an episode about a hundred tokens long, so that a policy
of well under a million parameters can be trained by reinforcement learning on a laptop. It is a
Hugging Face model and tokenizer like any other: `load_model("tiny")` reads the weights that ship
with the package, and `layergym warmup` makes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

FOLDER = Path(__file__).parent / "tiny_model"
"""Where the shipped weights are."""

SPECIAL = ("<pad>", "<eos>", "<obs>", "<act>", "<unk>")

PHRASES = (
    "-= Welcome to TextWorld, ALFRED! =-",
    "You are in the middle of a room. Looking quickly around you, you see a",
    "You are in the middle of a room. Looking quickly around you, you see nothing.",
    "Your task is to:",
    "You arrive at",
    "You are facing the",
    "You are carrying: a",
    "You are not carrying anything.",
    "You open the",
    "You close the",
    "You pick up the",
    "You move the",
    "You clean the",
    "You heat the",
    "You cool the",
    "You turn on the",
    "is closed.",
    "is open. In it, you see a",
    "is open. In it, you see nothing.",
    "On the",
    ", you see a",
    ", you see nothing.",
    "Next to it, you see nothing.",
    "Next to it, you see a",
    "There's nothing special about",
    "This is a",
    "In it, you see a",
    "Nothing happens.",
    ", and a",
    ", a",
    "from the",
    "to the",
    "using the",
    "go to",
)

_CHAT = (
    "{% for m in messages %}{% if m.role == 'user' %}<obs>{{ m.content }}"
    "{% elif m.role == 'assistant' %}<act>{{ m.content }}<eos>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<act>{% endif %}"
)
"""Observations and actions take turns; a system message (the environment's rules) is left out,
because the policy has learnt them."""

_WORDS = (
    "|".join(
        re.escape(p) + (r"(?![a-z])" if p[-1].isalpha() else "")
        for p in sorted(PHRASES, key=len, reverse=True)
    )
    + r"|[a-z]+ \d+|[A-Za-z']+|\d+|[^\sA-Za-z\d]"
)


def words(text: str) -> list[str]:
    """Split a text as the tokenizer does: stock phrases, `name number` entities, words, signs."""
    return re.findall(_WORDS, text)


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that knows every word, phrase and entity in `texts`, and each stock phrase.

    Decoding joins tokens with a space, which reproduces every ALFWorld command.
    """
    named = {word for text in texts for word in words(text)} | set(PHRASES)
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *sorted(named)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORDS), "removed", invert=True)
    return _wrapped(tokenizer)


def build_subword_tokenizer(texts: Iterable[str], size: int = 1000) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of at most `size` tokens; every text survives a round trip.

    Digits are tokens of their own, so that numbers can be computed with.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _wrapped(tokenizer)


def _wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=["<obs>", "<act>"],
        chat_template=_CHAT,
        clean_up_tokenization_spaces=False,
    )


def build_model(
    tokenizer: PreTrainedTokenizerFast, *, layers: int = 8, width: int = 64, seed: int = 0
) -> Qwen3ForCausalLM:
    """A Qwen3 policy with random weights.

    An entity's embedding starts as its name's plus its number's, so that "cabinet 7" is a cabinet
    before the policy has met one with that number.
    """
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        num_key_value_heads=width // 32,
        head_dim=32,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        initializer_range=0.05,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.data /= (2 * layers) ** 0.5
    _compose(model, tokenizer.get_vocab())
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def _compose(model: Qwen3ForCausalLM, vocabulary: dict[str, int]) -> None:
    table = model.model.embed_tokens.weight.data
    for word, i in vocabulary.items():
        name, _, number = word.partition(" ")
        if number.isdigit() and name in vocabulary and number in vocabulary:
            parts = table[vocabulary[name]] + 0.7 * table[vocabulary[number]]
            table[i] = parts + 0.3 * table[i]
