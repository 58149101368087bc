"""A base model by its name: loaded where it is needed, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from imine.errors import StudyError


@dataclass(slots=True)
class NamedModel:
    """A causal language model that is loaded when its weights are first asked for.

    It stands for :class:`imine.indicators.models.LoadedModel`. Sent to another process it travels as a name, and is
    loaded there.

    Attributes:
        name: name or folder of the model.
        sha256: content hash of its weights and configuration.
    """

    name: str
    sha256: str
    _tokenizer: Any = field(default=None, repr=False)
    _model: Any = field(default=None, repr=False)

    @classmethod
    def find(cls, name: str) -> NamedModel:
        """The model of this name, its hash computed.

        Raises:
            ModelNotFoundError: it is not there.
        """
        from imine.indicators.models import model_path
        from imine.indicators.models.hashing import model_sha256

        return cls(name, model_sha256(model_path(name)))

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer of transformers, with a padding token; the weights are not loaded for it."""
        if self._tokenizer is None:
            from imine.indicators.models.loading import load_tokenizer

            self._tokenizer = load_tokenizer(self.name)
            if self._tokenizer.pad_token_id is None:
                self._tokenizer.pad_token = self._tokenizer.eos_token
        return self._tokenizer

    @property
    def model(self) -> Any:
        """Its torch module, in evaluation mode.

        Raises:
            ModelNotFoundError: it is not there.
            StudyError: its weights or configuration are not those of the hash.
        """
        if self._model is None:
            from imine.indicators.models import load_causal_lm

            loaded = load_causal_lm(self.name)
            if loaded.sha256 != self.sha256:
                raise StudyError(
                    f"weights and configuration of {self.name} have the hash {loaded.sha256[:16]}, and had "
                    f"{self.sha256[:16]} when they were first read: put the model back, or start again"
                )
            self._tokenizer, self._model = loaded.tokenizer, loaded.model
        return self._model

    def __getstate__(self) -> tuple[str, str]:
        return self.name, self.sha256

    def __setstate__(self, state: tuple[str, str]) -> None:
        self.name, self.sha256 = state
        self._tokenizer = self._model = None
