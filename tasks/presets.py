"""The name of a preset becomes the values of `params.yaml` that nobody gave: shapes of models, cleaning thresholds."""

from collections.abc import Mapping
from typing import Any, Literal

TextKind = Literal["prose", "code", "notes", "web"]

# The shapes follow DeepSeek-V3's proportions. `small` and `medium` keep what vLLM's MLA kernels ask for:
# kv_lora_rank + qk_rope_head_dim in {320, 576}, qk_rope_head_dim != qk_nope_head_dim.
PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "nano": {
        "blueprint": {
            "sequence_length": 256, "width": 128, "n_layers": 4, "n_dense_layers": 1, "n_heads": 4,
            "q_lora_rank": 96, "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
            "dense_ffn_width": 384, "expert_ffn_width": 128, "n_experts": 16, "top_k": 2, "n_shared_experts": 1,
            "n_groups": 1, "top_k_groups": 1, "routed_scaling_factor": 1.0, "rope_theta": 10_000.0, "norm_eps": 1e-6,
        },
        "tokenizer": {"vocab_size": 2048},
        "train": {
            "tokens": 1_024_000, "batch_tokens": 4096,
            "micro_shards": 4, "learning_rate": 0.012, "adamw_learning_rate": 0.01,
            "weight_decay": 0.01, "warmup_share": 0.05, "decay_share": 0.5,
            "gradient_clip": 1.0, "balance_rate": 0.01, "seed": 1,
        },
    },
    "small": {
        "blueprint": {
            "sequence_length": 2048, "width": 1024, "n_layers": 16, "n_dense_layers": 1, "n_heads": 16,
            "q_lora_rank": 512, "kv_lora_rank": 256,
            "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
            "dense_ffn_width": 4096, "expert_ffn_width": 512, "n_experts": 64, "top_k": 6, "n_shared_experts": 2,
            "n_groups": 1, "top_k_groups": 1, "routed_scaling_factor": 1.8, "rope_theta": 10_000.0, "norm_eps": 1e-6,
        },
        "tokenizer": {"vocab_size": 32_768},
        "train": {
            "tokens": 10_000_000_000, "batch_tokens": 524_288, "micro_shards": 16, "learning_rate": 0.02,
            "adamw_learning_rate": 0.0006, "weight_decay": 0.1,
            "warmup_share": 0.01, "decay_share": 0.4, "gradient_clip": 1.0,
            "balance_rate": 0.001, "seed": 1,
        },
    },
    "medium": {
        "blueprint": {
            "sequence_length": 4096, "width": 2048, "n_layers": 24, "n_dense_layers": 1, "n_heads": 16,
            "q_lora_rank": 1024, "kv_lora_rank": 512,
            "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
            "dense_ffn_width": 8192, "expert_ffn_width": 1024, "n_experts": 64, "top_k": 6, "n_shared_experts": 2,
            "n_groups": 1, "top_k_groups": 1, "routed_scaling_factor": 2.5, "rope_theta": 10_000.0, "norm_eps": 1e-6,
        },
        "tokenizer": {"vocab_size": 65_536},
        "train": {
            "tokens": 100_000_000_000, "batch_tokens": 2_097_152, "micro_shards": 32, "learning_rate": 0.02,
            "adamw_learning_rate": 0.0004, "weight_decay": 0.1,
            "warmup_share": 0.01, "decay_share": 0.4, "gradient_clip": 1.0,
            "balance_rate": 0.001, "seed": 1,
        },
    },
}  # fmt: skip


# Reasons of each value: docs/your-text.md. What is never reached says nothing of this kind of text.
_NEVER = 1_000_000_000
OFF: Mapping[str, Any] = {
    "min_characters": 1, "max_characters": _NEVER, "max_line_characters": _NEVER, "max_mean_line_characters": _NEVER,
    "min_alphanumeric_share": 0.0, "max_replacement_share": 1.0,
    "min_words": 0, "max_words": _NEVER, "min_mean_word_characters": 0.0, "max_mean_word_characters": float(_NEVER),
    "max_symbol_word_ratio": float(_NEVER), "max_bullet_line_share": 1.0, "max_ellipsis_line_share": 1.0,
    "min_alphabetic_word_share": 0.0, "min_stop_words": 0,
    "max_repeated_line_share": 1.0, "max_repeated_line_character_share": 1.0,
    "max_repeated_paragraph_share": 1.0, "max_repeated_paragraph_character_share": 1.0,
    "max_top_ngram_shares": (1.0,) * 3, "max_repeated_ngram_shares": (1.0,) * 6,
    "min_sentences": 0, "drop_lorem_ipsum": False, "drop_curly_brackets": False,
    "min_ended_line_share": 0.0, "max_short_line_share": 1.0, "max_repeated_text_share": 1.0,
    "max_line_feed_word_ratio": float(_NEVER), "c4_line_rules": False,
}  # fmt: skip
# As published: Gopher, C4 and FineWeb, of web pages.
_GOPHER: Mapping[str, Any] = {
    "min_words": 50, "max_words": 100_000, "min_mean_word_characters": 3.0, "max_mean_word_characters": 10.0,
    "max_symbol_word_ratio": 0.1, "max_bullet_line_share": 0.9, "max_ellipsis_line_share": 0.3,
    "min_alphabetic_word_share": 0.8, "min_stop_words": 2,
    "max_repeated_line_share": 0.3, "max_repeated_line_character_share": 0.2,
    "max_repeated_paragraph_share": 0.3, "max_repeated_paragraph_character_share": 0.2,
    "max_top_ngram_shares": (0.2, 0.18, 0.16), "max_repeated_ngram_shares": (0.15, 0.14, 0.13, 0.12, 0.11, 0.1),
}  # fmt: skip
_C4: Mapping[str, Any] = {"min_sentences": 5, "drop_lorem_ipsum": True, "drop_curly_brackets": True}
_FINEWEB: Mapping[str, Any] = {
    "min_ended_line_share": 0.12, "max_short_line_share": 0.67, "max_repeated_text_share": 0.01,
    "max_line_feed_word_ratio": 0.3,
}  # fmt: skip
CLEAN_PRESETS: Mapping[TextKind, Mapping[str, Any]] = {
    "prose": {
        **OFF,
        "min_characters": 64, "max_characters": 10_000_000,
        "max_line_characters": 10_000, "max_mean_line_characters": 1000,
        "min_alphanumeric_share": 0.25, "max_replacement_share": 0.001,
        "min_mean_word_characters": 2.0, "max_mean_word_characters": 30.0, "max_symbol_word_ratio": 0.5,
        "max_bullet_line_share": 0.9, "max_ellipsis_line_share": 0.3, "min_alphabetic_word_share": 0.25,
        "max_repeated_line_share": 0.7, "max_repeated_line_character_share": 0.5,
        "max_repeated_paragraph_share": 0.7, "max_repeated_paragraph_character_share": 0.5,
        "max_repeated_ngram_shares": (0.5,) * 6,
        "drop_lorem_ipsum": True,
    },
    "code": {
        **OFF,
        "min_characters": 64, "max_characters": 1_000_000,
        "max_line_characters": 1000, "max_mean_line_characters": 100,
        "min_alphanumeric_share": 0.25, "max_replacement_share": 0.001, "max_repeated_line_character_share": 0.5,
    },
    "notes": {
        **OFF,
        "min_characters": 8, "max_characters": 10_000_000,
        "max_line_characters": 10_000, "max_mean_line_characters": 10_000,
        "min_alphanumeric_share": 0.25, "max_replacement_share": 0.001,
    },
    "web": {
        **OFF, **_GOPHER, **_C4, **_FINEWEB,
        "max_characters": 10_000_000, "max_replacement_share": 0.001, "c4_line_rules": True,
    },
}  # fmt: skip
