"""The contract of every evaluator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from hwnas.core.choice import Arch
from hwnas.core.space import Space
from hwnas.evaluators import EvaluationFailed, Evaluator
from hwnas.front import Problem


class EvaluatorContract:
    """What every evaluator does; inherit it, and give `evaluator` and `space` as fixtures.

    objectives: the metrics that the evaluator has to deliver.
    """

    objectives: Sequence[str] = ("val_accuracy",)

    @pytest.fixture
    def evaluator(self) -> Evaluator:
        """A fresh evaluator of the same settings each time."""
        raise NotImplementedError

    @pytest.fixture
    def space(self) -> Space:
        """What its architectures belong to."""
        raise NotImplementedError

    @pytest.fixture
    def archs(self, space: Space) -> list[Arch]:
        """Three architectures that are different networks."""
        rng = np.random.default_rng(0)
        archs = {space.key(a): a for a in (space.sample(rng) for _ in range(20))}
        return list(archs.values())[:3]

    def test_every_answer_can_be_used(self, evaluator: Evaluator, archs: list[Arch]) -> None:
        problem = Problem.parse(self.objectives)
        for answer in evaluator(archs):
            assert isinstance(answer, EvaluationFailed) or problem.invalid_reason(answer) is None

    def test_answers_come_in_the_order_of_the_architectures(
        self, evaluator: Evaluator, archs: list[Arch]
    ) -> None:
        a, b, c = evaluator(archs)
        assert list(evaluator([archs[2], archs[0], archs[1], archs[0]])) == [c, a, b, a]

    def test_company_does_not_change_an_answer(self, evaluator: Evaluator, archs: list[Arch]) -> None:
        alone = [evaluator([arch])[0] for arch in reversed(archs)]
        assert list(evaluator(archs)) == alone[::-1]

    def test_no_architecture_gets_no_answer(self, evaluator: Evaluator) -> None:
        assert list(evaluator([])) == []

    def test_the_global_generators_are_left_alone(self, evaluator: Evaluator, archs: list[Arch]) -> None:
        before = torch.get_rng_state()
        evaluator(archs[:1])
        assert torch.equal(torch.get_rng_state(), before)
