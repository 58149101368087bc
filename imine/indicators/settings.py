"""How scores are computed: models, template, reference set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from imine.errors import RuleError, SettingsError
from imine.indicators.devices import DTYPES, check_devices
from imine.indicators.encoders import ENCODER_DTYPES
from imine.indicators.jinja_templates import check_template, resolve_template
from imine.indicators.neighbors import METHODS, ReferenceSet
from imine.indicators.templates import PromptTemplate


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """How scores are computed; every field that matters to a column is part of its fingerprint.

    Attributes:
        model: name or folder of the causal model (perplexity), whose tokenizer counts the lengths.
        template: prompt template: a key of ``TEMPLATES``, ``chat`` for the tokenizer's own, or a Jinja file.
        max_tokens: longest prompt and response together that the causal model sees.
        dtype: number type of the causal model: ``float32``, ``bfloat16``, or ``auto`` for bfloat16 where the hardware
            has units for it.
        devices: where models run, one process a device; empty for all accelerators, else the CPU.
        encoder: name or folder of the sentence encoder (neighbours).
        reward_model: name or folder of the reward model (reward).
        unieval_model: name or folder of the yes-or-no judge (naturalness, coherence, understandability).
        encoder_dtype: of the encoder's weights and states; ``auto`` is bfloat16 where an accelerator or the
            processor has units for it. float32 by default, so that distances are the same on every machine.
        reference: the set among which neighbours are looked for; ``None`` for the pool itself.
        neighbors: how they are looked for: all compared, or by pynndescent or faiss, for large pools.
        cache: whether scores of models are kept on disk, in the folder that ``IMINE_CACHE`` names.

    Examples:
        >>> ScoreSettings(max_tokens=512).template
        'alpaca'
    """

    model: str = "smollm2-135m"
    template: str = "alpaca"
    max_tokens: int = 256
    dtype: str = "auto"
    devices: tuple[str, ...] = ()
    encoder: str = "all-minilm-l6-v2"
    reward_model: str = "oasst-rm-pythia-1.4b"
    unieval_model: str = "unieval-dialog"
    encoder_dtype: Literal["float32", "bfloat16", "auto"] = "float32"
    reference: ReferenceSet | None = None
    neighbors: Literal["exact", "nn-descent", "faiss"] = "exact"
    cache: bool = True

    def __post_init__(self) -> None:
        check_template(self.template)
        check_devices(self.devices)
        if self.dtype not in DTYPES:
            raise SettingsError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")
        if self.max_tokens < 16:
            raise SettingsError(f"max_tokens must be at least 16, not {self.max_tokens}")
        if self.neighbors not in METHODS:
            raise SettingsError(f"neighbors must be one of {', '.join(METHODS)}, not {self.neighbors!r}")
        if self.encoder_dtype not in ENCODER_DTYPES:
            raise SettingsError(
                f"encoder_dtype must be one of {', '.join(ENCODER_DTYPES)}, not {self.encoder_dtype!r}"
            )

    def prompt_template(self) -> PromptTemplate:
        """The template itself.

        Raises:
            SettingsError: the tokenizer has no chat template.
        """
        return resolve_template(self.template, self.model)


def settings_from_fingerprints(
    fingerprints: dict[str, dict[str, Any]], reference: Path | None
) -> ScoreSettings:
    """The settings under which columns with these fingerprints are computed again.

    Args:
        fingerprints: by indicator, as a rule holds them.
        reference: file of the reference set, where one belongs to them.

    Raises:
        RuleError: the neighbours' reference set is missing.
    """
    settings = ScoreSettings()
    for indicator, fingerprint in fingerprints.items():
        try:
            settings = _with_fingerprint(settings, fingerprint, reference)
        except SettingsError as error:
            raise RuleError(f"{indicator} cannot be scored here in the way of the rule: {error}") from error
        except (KeyError, TypeError) as error:
            raise RuleError(f"the rule's fingerprint of {indicator} is malformed: {error!r}") from error
    return settings


def _with_fingerprint(
    settings: ScoreSettings, fingerprint: dict[str, Any], reference: Path | None
) -> ScoreSettings:
    for judge in ("reward_model", "unieval_model"):
        if judge in fingerprint:
            return replace(settings, **{judge: fingerprint[judge]["name"]})
    if "tokenizer" in fingerprint:
        settings = replace(settings, model=fingerprint["tokenizer"]["name"])
    if "model" in fingerprint:
        settings = replace(
            settings,
            model=fingerprint["model"]["name"],
            template=fingerprint["template"]["name"],
            max_tokens=fingerprint["max_tokens"],
            dtype=fingerprint["dtype"],
        )
    if "encoder" not in fingerprint:
        return settings
    settings = replace(
        settings,
        encoder=fingerprint["encoder"]["name"],
        encoder_dtype=fingerprint["encoder"].get("dtype", "float32"),
        neighbors=fingerprint.get("search", {}).get("method", "exact"),
    )
    if fingerprint["reference"]["kind"] == "self":
        return settings
    if reference is None:
        raise RuleError(
            f"the rule's neighbours are counted in the reference set {fingerprint['reference']['name']!r}, "
            "whose .npz file must lie beside the rule"
        )
    return replace(settings, reference=ReferenceSet.load(reference))
