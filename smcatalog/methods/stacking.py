"""Stacking: a second layer learns from the estimates of learners that had not seen the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from smcatalog.core.errors import UsageError
from smcatalog.core.threads import spread
from smcatalog.methods.combiners import Combiner, LearnerChoice
from smcatalog.methods.held_out import SPLITS, kept_for_test, kept_in_zones
from smcatalog.methods.residuals import ResidualMethod
from smcatalog.methods.second_layer import SECOND_LAYERS, fit_second_layer
from smcatalog.methods.shapley import contributions, explainable, summary
from smcatalog.methods.splits import FoldsBy, fold_numbers, part
from smcatalog.methods.stack_report import scores_of_each, seen
from smcatalog.methods.tuning import learner, tune
from smcatalog.methods.values import Matrix, Samples

if TYPE_CHECKING:
    from smcatalog.methods.base import Method

__all__ = ["Stacked"]

_LEARNED: Final[Mapping[str, Any]] = {}


class Stacked(Combiner):
    """Stacking after Xu et al. (2024), section 3.2.4 and figure 2.

    Samples are split 7:3. On the larger part each learner is fitted five times, each time without one fifth; its
    estimates of the fifths that it did not see are what the second layer learns from. Then each learner is
    fitted once more to the whole of that part, and the second layer joins their estimates.

    Parameters
    ----------
    test_share : float
        Share of the samples that is kept for testing; 0: none, and no test scores.
    split : str
        ``random``, the paper's presumably, or ``days``: the same share of each day.
    folds : int
        Number of folds; five in the paper.
    folds_by : str
        ``random``, the paper's presumably; ``cells`` or ``days`` leave whole coarse cells or days out, so that the
        weights rest on new places or times.
    second : str
        ``nnls`` or ``ridge``: the paper does not name its second layer. Least squares with weights of nought or
        more is the default: its weights can be read as shares, and learners as alike as these give it no
        large weights of opposite signs.
    intercept : bool
        Whether the second layer adds a constant.
    ridge_strength : float
        See `fit_second_layer`.
    refit : bool
        Whether the learners that predict are fitted to all samples in the end, those kept for testing too. The
        paper does not say so; scores are of those that have not seen the test in any case.
    explained : int
        Samples that contributions of features (SHAP) are worked out for, drawn from the training part; 0: none.
        The paper takes all of them.
    shown : int
        Samples among them whose contributions are kept one by one, for figures.
    tune_folds : int
        Folds by which values of a grid are compared, made as those of the second layer; where there is no grid
        nothing is chosen.
    tune_samples : int
        Samples that they are compared on at most.
    second_layer : mapping
        A second layer to be taken as it is, the property `second_layer_` of a fitted stack; empty: it is learned. With it
        each learner is fitted once and not once more for each fold.

    Attributes
    ----------
    weights_ : ndarray, shape (d, m)
        Of the learners in the order of `members_`, by depth.
    constant_ : ndarray, shape (d,)
        [m³ m⁻³].
    residual_variance_ : ndarray, shape (d,)
        Mean square of what the stack of the folds' estimates misses on samples that their learners had not
        seen [(m³ m⁻³)²].
    spread_ : ndarray, shape (d,)
        Mean variance between the learners in these estimates, by the weights [(m³ m⁻³)²].

    Notes
    -----
    The standard uncertainty is ours: the variance between the learners at a place, by the weights, says where
    the estimate is doubtful, and the residuals say how much on the whole. It is the square root of
    ``residual_variance_ - spread_`` (at least a quarter of the former) plus the variance between the learners
    there, so that its mean square over the samples is that of the residuals. With a stack for each zone
    the residuals are the zone's.
    """

    name: ClassVar[str] = "stacking"

    weights_: Matrix
    constant_: Matrix
    residual_variance_: Matrix
    spread_: Matrix

    def __init__(
        self,
        test_share: float = 0.3,
        split: str = "random",
        folds: int = 5,
        folds_by: str = "random",
        second: str = "nnls",
        intercept: bool = False,
        ridge_strength: float = 1e-3,
        refit: bool = False,
        explained: int = 1000,
        tune_folds: int = 5,
        tune_samples: int = 10_000,
        shown: int = 200,
        second_layer: Mapping[str, Any] = _LEARNED,
    ) -> None:
        for name, value, known in (
            ("split", split, SPLITS),
            ("folds_by", folds_by, tuple(FoldsBy)),
            ("second", second, tuple(SECOND_LAYERS)),
        ):
            if value not in known:
                raise UsageError(f"stacking: '{name}' is one of {', '.join(known)}, got '{value}'")
        self.test_share = test_share
        self.split = split
        self.folds = folds
        self.folds_by = folds_by
        self.second = second
        self.intercept = intercept
        self.ridge_strength = ridge_strength
        self.refit = refit
        self.explained = explained
        self.tune_folds = tune_folds
        self.tune_samples = tune_samples
        self.shown = shown
        self.second_layer = second_layer
        self._chosen: dict[str, dict[str, Any]] = {}
        self._report: dict[str, Any] = {}
        self._seed = 0

    def fit(self, samples: Samples, learners: Mapping[str, LearnerChoice], seed: int) -> None:
        """Fit the learners and the second layer."""
        held = kept_for_test(samples, self.test_share, self.split, seed)
        self._fit_to(samples, learners, seed, held, None)

    def fit_across(
        self,
        samples: Samples,
        learners: Mapping[str, LearnerChoice],
        seed: int,
        zones: NDArray[np.str_],
    ) -> None:
        """Fit to samples of several zones; each is divided by the same lots as for a stack of its own.

        What is kept for testing in a zone is thus the same for both stacks, and scores by zone say what zones are
        worth.
        """
        held = kept_in_zones(samples, zones, self.test_share, self.split, seed)
        self._fit_to(samples, learners, seed, held, zones)

    def _fit_to(
        self,
        samples: Samples,
        learners: Mapping[str, LearnerChoice],
        seed: int,
        held: NDArray[np.bool_],
        zones: NDArray[np.str_] | None,
    ) -> None:
        if not learners:
            raise UsageError("a stack needs a learner")
        self._seed, train = seed, part(samples, ~held)
        self._chosen = {
            name: self._parameters(choice, train, seed) for name, choice in learners.items()
        }
        unseen = None
        if self.second_layer:
            self._take_second(self.second_layer, list(learners))
        else:
            unseen = self._unseen(train, learners)
            self._fit_second(unseen, train.target)
        self.members_ = self._fitted(train, learners)
        parts = {"train": train} | ({"test": part(samples, held)} if held.any() else {})
        halves = {
            half: (self._each(_estimates(self.members_, one.features)), one.target)
            for half, one in parts.items()
        }
        by_half = None if zones is None else {"train": zones[~held], "test": zones[held]}
        self._report = {
            "weights": {
                name: weights.tolist()
                for name, weights in zip(self.members_, self.weights_.T, strict=True)
            },
            "constant": self.constant_.tolist(),
            "second": self.second,
            "chosen": self._chosen,
            "residual_sd": np.sqrt(self.residual_variance_).tolist(),
            **seen(halves, by_half),
        }
        if unseen is not None:
            scores = scores_of_each(self._each(unseen), train.target)
            self._report["scores"]["unseen"] = scores
        if self.explained:
            self._report["shap"] = self._explained(train, seed)
        if self.refit and held.any():
            self.members_ = self._fitted(samples, learners)

    def _parameters(self, choice: LearnerChoice, train: Samples, seed: int) -> dict[str, Any]:
        if not choice.grid:
            return choice.parameters
        tuned = tune(
            choice,
            train,
            folds=self.tune_folds,
            folds_by=self.folds_by,
            most_samples=self.tune_samples,
            seed=seed,
        )
        return {**choice.parameters, **tuned.parameters}

    def _fitted(self, samples: Samples, learners: Mapping[str, LearnerChoice]) -> dict[str, Method]:
        return dict(
            zip(learners, self._fit_all([(c, samples) for c in learners.values()]), strict=True)
        )

    def _fit_all(self, wanted: Sequence[tuple[LearnerChoice, Samples]]) -> list[Method]:
        """Fit learners to samples, several at once: each by itself is fitted in one thread."""

        def fit(choice: LearnerChoice, samples: Samples) -> Method:
            return self._unfitted(choice).fit(samples)

        return spread(fit, wanted)

    def _unfitted(self, choice: LearnerChoice) -> Method:
        method = learner(choice.name, self._chosen[choice.name], self._seed)
        # uncertainties of the learners are not asked for: some would be fitted thrice more to have them
        return method.bare() if isinstance(method, ResidualMethod) else method

    def _unseen(self, train: Samples, learners: Mapping[str, LearnerChoice]) -> Matrix:
        """Return estimates of each sample by learners that were fitted without its fold, (n, d, m)."""
        folds = fold_numbers(train, self.folds, self.folds_by, self._seed)
        wanted = [
            (choice, fold, part(train, folds != fold))
            for fold in np.unique(folds)
            for choice in learners.values()
        ]
        fitted = self._fit_all([(choice, samples) for choice, _, samples in wanted])
        names = list(learners)
        found = np.empty((*train.target.shape, len(names)))
        for (choice, fold, _), member in zip(wanted, fitted, strict=True):
            inside = folds == fold
            found[inside, :, names.index(choice.name)] = member.estimate(train.features[inside])[0]
        return found

    def _fit_second(self, unseen: Matrix, target: Matrix) -> None:
        fits = [
            fit_second_layer(
                self.second,
                unseen[:, depth],
                target[:, depth],
                intercept=self.intercept,
                strength=self.ridge_strength,
            )
            for depth in range(target.shape[1])
        ]
        self.weights_ = np.array([weights for weights, _ in fits])
        self.constant_ = np.array([constant for _, constant in fits])
        missed = target - self._join(unseen)
        self.residual_variance_ = (missed**2).mean(axis=0)
        self.spread_ = self._between(unseen).mean(axis=0)

    def _take_second(self, given: Mapping[str, Any], names: list[str]) -> None:
        if sorted(given["learners"]) != sorted(names):
            raise UsageError(
                f"stacking: 'second_layer' joins {', '.join(given['learners'])}, "
                f"the learners are {', '.join(names)}"
            )
        columns = [given["learners"].index(name) for name in names]
        self.weights_ = np.array(given["weights"], np.float64)[:, columns]
        self.constant_, self.residual_variance_, self.spread_ = (
            np.array(given[name], np.float64)
            for name in ("constant", "residual_variance", "spread")
        )

    @property
    def second_layer_(self) -> dict[str, Any]:
        """How the learners are joined, as plain values: what the option `second_layer` takes."""
        return {
            "learners": list(self.members_),
            "weights": self.weights_.tolist(),
            "constant": self.constant_.tolist(),
            "residual_variance": self.residual_variance_.tolist(),
            "spread": self.spread_.tolist(),
        }

    def _join(self, estimates: Matrix) -> Matrix:
        joined: Matrix = np.einsum("ndm,dm->nd", estimates, self.weights_) + self.constant_
        return joined

    def _between(self, estimates: Matrix) -> Matrix:
        """Return the variance between the learners by the size of their weights, (n, d)."""
        size = np.abs(self.weights_)
        shares = size / np.maximum(size.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        mean = np.einsum("ndm,dm->nd", estimates, shares)
        squares: Matrix = np.einsum("ndm,dm->nd", (estimates - mean[..., np.newaxis]) ** 2, shares)
        return squares

    def predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        """Return mean and standard uncertainty, both of shape (n, d), of features of shape (n, p)."""
        estimates = _estimates(self.members_, features)
        floor = np.maximum(self.residual_variance_ - self.spread_, self.residual_variance_ / 4)
        return self._join(estimates), np.sqrt(floor + self._between(estimates))

    def _each(self, estimates: Matrix) -> dict[str, Matrix]:
        """Return the estimates (n, d) of each learner and of the stack."""
        names = list(self._chosen)
        each = {name: estimates[..., i] for i, name in enumerate(names)}
        return {**each, self.name: self._join(estimates)}

    def contributions(self, features: Matrix) -> tuple[Matrix, Matrix]:
        """Return what each feature adds to estimates: the weighted sum of the learners' own contributions.

        Parameters
        ----------
        features : ndarray, shape (n, p)

        Returns
        -------
        contributions : ndarray, shape (n, p, d)
            SHAP values [m³ m⁻³] (Lundberg and Lee 2017): they are linear in the model, so that of a weighted
            sum of models they are the weighted sums, exactly.
        base : ndarray, shape (d,)
            What they add up to the estimate from.

        Raises
        ------
        UsageError
            When a learner cannot be explained so.
        """
        total = np.zeros((*features.shape, len(self.constant_)))
        base = self.constant_.copy()
        for weights, member in zip(self.weights_.T, self.members_.values(), strict=True):
            values, start = contributions(member, features)
            total += values * weights
            base += start * weights
        return total, base

    def _explained(self, train: Samples, seed: int) -> dict[str, Any] | None:
        """Return sizes of the features' contributions; None where a learner cannot be explained."""
        if not all(explainable(member) for member in self.members_.values()):
            return None
        rows = np.random.default_rng(seed).permutation(len(train))[: self.explained]
        features = train.features[rows]
        return summary(train.names, features, *self.contributions(features), self.shown)

    @property
    def chosen(self) -> dict[str, dict[str, Any]]:
        """Parameters by learner."""
        return self._chosen

    @property
    def when_scored(self) -> dict[str, Any]:
        """No part is kept for testing, since others are left out already; the second layer stays what it is."""
        return {"test_share": 0.0, "explained": 0, "second_layer": self.second_layer_}

    @property
    def importances(self) -> dict[str, float]:
        """Mean of the learners' importances by the size of their weights; only of those that have any."""
        size = np.abs(self.weights_).sum(axis=0)
        found = [(w, m.importances) for w, m in zip(size, self.members_.values(), strict=True)]
        found = [(w, one) for w, one in found if one]
        total = float(sum(w for w, _ in found))
        if not total:
            return {}
        return {name: float(sum(w * one[name] for w, one in found)) / total for name in found[0][1]}

    @property
    def report(self) -> dict[str, Any]:
        """Weights, chosen parameters, scores of each learner and of the stack, contributions of features."""
        return self._report

    @property
    def state(self) -> dict[str, Any]:
        """The second layer, and what was seen."""
        return {**self.second_layer_, "chosen": self._chosen, "report": self._report}

    def restore(self, state: Mapping[str, Any], members: Mapping[str, Method]) -> None:
        """Become what was saved as ``state``."""
        self._take_second(state, list(state["learners"]))
        # the order of the weights, whatever order JSON kept the members in
        self.members_ = {name: members[name] for name in state["learners"]}
        self._chosen, self._report = dict(state["chosen"]), dict(state["report"])


def _estimates(members: Mapping[str, Method], features: Matrix) -> Matrix:
    """Return the learners' means, (n, d, m), not clipped."""
    return np.stack([member.estimate(features)[0] for member in members.values()], axis=-1)
