"""Hugging Face's names of the parts that BERT and ELECTRA have in common."""

from collections.abc import Mapping, Sequence


def of_encoder(base: str) -> Mapping[str, str]:
    """Ours -> theirs of the embeddings and the blocks, ``base`` being what their classes call the encoder."""
    layer = f"{base}.encoder.layer.{{}}"
    return {
        "encoder.embeddings.word_embeddings": f"{base}.embeddings.word_embeddings",
        "encoder.embeddings.position_embeddings": f"{base}.embeddings.position_embeddings",
        "encoder.embeddings.token_type_embeddings": f"{base}.embeddings.token_type_embeddings",
        "encoder.embeddings.norm": f"{base}.embeddings.LayerNorm",
        "encoder.blocks.{}.attention.output": f"{layer}.attention.output.dense",
        "encoder.blocks.{}.attention_norm": f"{layer}.attention.output.LayerNorm",
        "encoder.blocks.{}.feed_forward.intermediate": f"{layer}.intermediate.dense",
        "encoder.blocks.{}.feed_forward.output": f"{layer}.output.dense",
        "encoder.blocks.{}.feed_forward_norm": f"{layer}.output.LayerNorm",
    }


def fused_of_encoder(base: str) -> Mapping[str, Sequence[str]]:
    """Ours -> theirs of queries, keys and values, which are one matrix here."""
    parts = [f"{base}.encoder.layer.{{}}.attention.self.{name}" for name in ("query", "key", "value")]
    return {"encoder.blocks.{}.attention.query_key_value": parts}
