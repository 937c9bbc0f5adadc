"""Curation: from text as it is found to text that is worth training on.

Each rule is a file or a few lines of one, and a plain function of a text; `data clean` chains them over files larger
than memory.
"""

from __future__ import annotations

from ...public_names import loaded_when_used

# Where each public name lives.
_HOMES = {
    "C4": "c4",
    "Decontamination": "decontamination",
    "DuplicateIndex": "index",
    "GopherQuality": "gopher",
    "GopherRepetition": "repetition",
    "Html": "html",
    "Language": "language",
    "LineCounts": "exact",
    "MaskPersonal": "personal",
    "Quality": "quality",
    "QualityClassifier": "quality",
    "RefinedWebLines": "refinedweb",
    "Removed": "rule",
    "RepeatedLines": "repeats",
    "RepeatedNgrams": "repeats",
    "candidate_probability": "bands",
    "choose_bands": "bands",
    "decode_html": "html",
    "digest": "exact",
    "estimated_jaccard": "signatures",
    "extract_text": "html",
    "identify_language": "language",
    "jaccard": "words",
    "mask_emails": "personal",
    "mask_ips": "personal",
    "mask_phones": "personal",
    "minhash": "signatures",
    "near_duplicates": "duplicates",
    "shingles": "words",
}

__all__ = [*_HOMES]
__getattr__, __dir__ = loaded_when_used(__name__, _HOMES)
