"""A text encoder small enough to make on the spot: T5 with seeded weights and a tokeniser of words."""

from pathlib import Path


def write_text_encoder(folder: Path, words: list[str], width: int = 16) -> Path:
    """Write it in transformers' layout; the vocabulary is the words given."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *words])}
    tokeniser = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokeniser.pre_tokenizer = pre_tokenizers.Whitespace()
    tokeniser.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokeniser, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"d_model": width, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=len(vocabulary), **sizes, feed_forward_proj="gated-gelu")
    T5EncoderModel(config).eval().save_pretrained(folder)
    return folder
