"""Data: corpora, token files, packing and batches.

Text comes in, batches of ids go out; nothing here knows a model. The names below are loaded when first used, so that
`data.tales` can be had without NumPy.
"""

from __future__ import annotations

from ..public_names import loaded_when_used

# Where each public name lives.
_HOMES = {
    "documents": "sources",
    "load_text": "sources",
    "split_documents": "split",
    "write_split": "split",
    "write_splits": "split",
    "TokenFile": "token_file",
    "open_tokens": "token_file",
    "write_tokens": "token_file",
    "BatchSampler": "sampler",
    "evaluation_batches": "sampler",
    "MixtureSampler": "mixing",
    "RanDry": "mixing",
    "mixing_weights": "mixing",
    "Stage": "stages",
    "StagedSampler": "stages",
    "planned_tokens": "stages",
    "ExampleSampler": "examples",
    "collate": "examples",
    "example_batches": "examples",
    "dialogue_example": "dialogue_batches",
    "dialogue_examples": "dialogue_batches",
    "encode_dialogue": "encoding",
    "read_dialogues": "dialogues",
    "read_preferences": "preference_files",
    "read_rankings": "ranking_files",
    "read_ratings": "ranking_files",
    "write_dialogues": "dialogues",
    "write_preferences": "preference_files",
    "template_names": "encoding",
    "pack_dialogues": "dialogue_batches",
    "packed_rows": "dialogue_batches",
    "BlankTokens": "infilling",
    "infilling_batch": "infilling",
    "mask_rest": "infilling",
    "mask_spans": "infilling",
    "short_spans": "infilling",
    "examples_from_documents": "packing",
    "pack_examples": "packing",
    "pad_documents": "packing",
    "C4": "curation.c4",
    "GopherQuality": "curation.gopher",
    "GopherRepetition": "curation.repetition",
    "Html": "curation.html",
    "Language": "curation.language",
    "MaskPersonal": "curation.personal",
    "Quality": "curation.quality",
    "QualityClassifier": "curation.quality",
    "RefinedWebLines": "curation.refinedweb",
    "Removed": "curation.rule",
    "RepeatedLines": "curation.repeats",
    "RepeatedNgrams": "curation.repeats",
    "decode_html": "curation.html",
    "extract_text": "curation.html",
    "identify_language": "curation.language",
    "mask_emails": "curation.personal",
    "mask_ips": "curation.personal",
    "mask_phones": "curation.personal",
    "DELIMITER": "tales",
    "consistency": "tales",
    "consistency_score": "tales",
    "tale": "tales",
    "minhash": "curation.signatures",
    "near_duplicates": "curation.duplicates",
}

__all__ = [*_HOMES]
__getattr__, __dir__ = loaded_when_used(__name__, _HOMES)
