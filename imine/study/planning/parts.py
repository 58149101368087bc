"""The parts of a plan."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tokens:
    """How much text goes through a model.

    Attributes:
        rows: examples.
        tokens: prompts and responses, without padding.
        response: those of them that the loss is computed on.
        padded: with the padding of the micro-batches.
        cut: rows that are longer than ``max_tokens`` and lose a part.
    """

    rows: int = 0
    tokens: int = 0
    response: int = 0
    padded: int = 0
    cut: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.rows + other.rows,
            self.tokens + other.tokens,
            self.response + other.response,
            self.padded + other.padded,
            self.cut + other.cut,
        )

    def times(self, factor: int) -> Tokens:
        """So many times as much.

        Examples:
            >>> Tokens(rows=1, tokens=10, response=4, padded=12).times(3).padded
            36
        """
        return Tokens(
            *(factor * part for part in (self.rows, self.tokens, self.response, self.padded, self.cut))
        )


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What a study takes of a pool.

    Attributes:
        name: of the pool.
        candidates: rows that may be drawn.
        distinct: rows that are in some subset.
        trained: rows and tokens of all subsets and epochs together; its padding is not known by pool, and 0.
    """

    name: str
    candidates: int
    distinct: int
    trained: Tokens


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """One evaluation set.

    Attributes:
        name: of the set.
        once: rows and tokens of one evaluation.
    """

    name: str
    once: Tokens


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast this machine is at a study's work.

    Attributes:
        train: padded tokens a second of training.
        evaluate: padded tokens a second of evaluation.
        setup: seconds of a finetune before its first step.
        source: where the numbers are from, for people.
        peak_mb: largest memory seen, in MiB; ``None`` where it is not known.
        where: what that memory is of.
    """

    train: float
    evaluate: float
    setup: float
    source: str
    peak_mb: float | None = None
    where: str = "this process"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the work that is left.

    Attributes:
        name: of the stage.
        amount: how much, for people.
        seconds: how long; ``None`` where no speed is known.
    """

    name: str
    amount: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Amount:
    """A size.

    Attributes:
        name: what takes it.
        bytes: how much.
        about: how it was reckoned.
    """

    name: str
    bytes: int
    about: str


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a study takes.

    Attributes:
        name: of the study.
        runs: finetunes in all; done: those that are finished.
        steps: optimizer steps of all runs.
        pools: one entry a pool.
        trained: examples, tokens and padding of all runs and epochs.
        evaluation: one entry an evaluation set; every run reads all of them, and the base model before.
        scored: distinct rows that get indicators, read once.
        reference_rows: rows of the reference set of the nearest neighbours; 0 where no indicator needs it.
        parameters: weights of the base model.
        stages: what is left, in order.
        speed: ``None`` where nothing was measured.
        memory: by part.
        disk: by file.
        disk_free: bytes free where the results go.
        notes: what else to know.
    """

    name: str
    runs: int
    done: int
    steps: int
    pools: tuple[PoolPlan, ...]
    trained: Tokens
    evaluation: tuple[EvaluationPlan, ...]
    scored: Tokens
    reference_rows: int
    parameters: int
    stages: tuple[Stage, ...]
    speed: Speed | None
    memory: tuple[Amount, ...]
    disk: tuple[Amount, ...]
    disk_free: int
    notes: tuple[str, ...] = ()

    @property
    def evaluated(self) -> Tokens:
        """Tokens of all evaluations, that of the base model among them."""
        once = sum((part.once for part in self.evaluation), Tokens())
        return once.times(self.runs + 1)

    @property
    def seconds(self) -> float | None:
        """Time of all stages whose time is known; ``None`` where none is."""
        known = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(known) if known else None

    def summary(self) -> str:
        """Plain text."""
        from imine.study.planning.text import plan_text

        return plan_text(self)
