"""Writes a language model of 500 KB with random weights, for a real llama.cpp server.

Its vocabulary is the bytes, so it reads any text. What it answers means nothing, but
equal requests (temperature 0) get equal answers, since the weights have a fixed seed.
"""

import gguf
import numpy

EMBEDDING, LAYERS, HEADS, FEED_FORWARD = 64, 2, 4, 128
CONTEXT = 32768
# One line for each message, so that every test knows how a prompt is put together.
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}\n{% endfor %}<|assistant|>"
)


def vocabulary() -> tuple[list[bytes], list[gguf.TokenType]]:
    """Special tokens, all bytes, and the printable characters as tokens of their own."""
    kind = gguf.TokenType
    special = [(b"<unk>", kind.UNKNOWN), (b"<s>", kind.CONTROL), (b"</s>", kind.CONTROL)]
    every_byte = [(b"<0x%02X>" % byte, kind.BYTE) for byte in range(256)]
    printable = [(bytes([byte]), kind.NORMAL) for byte in range(32, 127)]
    tokens, kinds = zip(*special, *every_byte, *printable)
    return list(tokens), list(kinds)


def write_model(path: str) -> None:
    """Writes the model in GGUF, llama.cpp's format."""
    tokens, kinds = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny-random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)
    add_weights(writer, len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_weights(writer: gguf.GGUFWriter, tokens: int) -> None:
    """Adds the tensors that llama.cpp expects of the architecture `llama`."""
    generator = numpy.random.default_rng(1)

    def random(name: str, rows: int, columns: int, scale: float) -> None:
        values = generator.standard_normal((rows, columns)) * scale
        writer.add_tensor(f"{name}.weight", values.astype(numpy.float32))

    def ones(name: str) -> None:
        writer.add_tensor(f"{name}.weight", numpy.ones(EMBEDDING, numpy.float32))

    random("token_embd", tokens, EMBEDDING, 1.0)
    ones("output_norm")
    random("output", tokens, EMBEDDING, 0.3)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        ones(f"{block}.attn_norm")
        ones(f"{block}.ffn_norm")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            random(f"{block}.{part}", EMBEDDING, EMBEDDING, 0.2)
        random(f"{block}.ffn_gate", FEED_FORWARD, EMBEDDING, 0.2)
        random(f"{block}.ffn_up", FEED_FORWARD, EMBEDDING, 0.2)
        random(f"{block}.ffn_down", EMBEDDING, FEED_FORWARD, 0.2)
