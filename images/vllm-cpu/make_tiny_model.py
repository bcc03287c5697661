#!/usr/bin/env python3
"""Make a tiny Llama with random weights that a real vLLM can serve on a CPU; nothing is downloaded.

    python make_tiny_model.py FOLDER

The Dockerfile runs this once. What the model says are words in no order: only what is around it is real (tokens,
limits, streams, errors, metrics). The same folder comes out every time.
"""

import random
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT_TOKENS = 2048
SPECIAL = ["<|pad|>", "<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] or '' }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEXT = """
a request comes in and the router asks which backend should answer it. a small model is cheap and quick, a strong model
costs more and knows more. warm replicas answer at once, cold ones must load their weights first. when a backend is full
or slow or gone, another one answers. a canary takes a little of the traffic until its numbers are good. every user
stays with the version they saw first. the budget says how much may be spent this month, and what happens after that.
first tokens should come soon, and the others one by one without a pause. write what you expect before you measure it.
"""


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of the words above."""
    chance = random.Random(0)  # noqa: S311 - a fixed text, not a secret
    words = TEXT.split()
    lines = [" ".join(chance.choices(words, k=12)) for _ in range(2000)]
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([*lines, TEXT.capitalize()], trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        **{f"{name}_token": f"<|{name}|>" for name in ("bos", "eos", "pad")},
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def model(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Two layers; heads of 32, the smallest that vLLM's attention on a CPU takes."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),  # one more, and it could say what the tokenizer cannot spell
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=False,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    made = LlamaForCausalLM(config)
    with torch.no_grad():
        made.lm_head.weight.normal_(0, 0.5)
        for token, text in enumerate(words.convert_ids_to_tokens(range(len(words)))):
            if not text.startswith("\u0120") or len(text) < 3:
                made.lm_head.weight[token] = 0  # only whole words are ever likely
    return made.to(torch.bfloat16)


def main() -> None:
    """Write tokenizer, weights and configuration."""
    folder = sys.argv[1]
    words = tokenizer()
    words.save_pretrained(folder)
    made = model(words)
    made.save_pretrained(folder)
    print(f"{folder}: {made.num_parameters()} parameters, {len(words)} tokens")


if __name__ == "__main__":
    main()
