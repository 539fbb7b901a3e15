"""Artificial neural network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from smcatalog.methods.archive import checked, readable
from smcatalog.methods.residuals import ShuffledMethod, Standard
from smcatalog.methods.splits import part
from smcatalog.methods.values import Matrix, Samples

__all__ = ["NeuralNetwork"]

_STEPS: Final = 10
"""Steps of a pass at least: with one or two, the network is given up before it has learned anything."""
_LEAST_BATCH: Final = 8
"""Samples of a step at least: the gradient of fewer is mostly chance."""
_FEW: Final = 50
"""With fewer samples nothing is held out to stop early: a handful says nothing."""
_JUDGES: Final = 30
"""Cells that judge when to stop at least, where networks enough are allowed: eight are at the mercy of the lot."""


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    """Layers of weights (in, out) and biases (out,), rectified between them, in standardised units."""

    features: Standard
    target: Standard
    weights: list[Matrix]
    biases: list[Matrix]

    def __call__(self, features: Matrix) -> Matrix:
        values = self.features.to(features)
        for number, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            if number:
                np.maximum(values, 0.0, out=values)
            values = values @ weights + biases
        return self.target.back(values)

    @property
    def content(self) -> dict[str, Any]:
        """What JSON holds of it; numbers round-trip exactly."""
        return {
            "feature_standard": [self.features.centre.tolist(), self.features.scale.tolist()],
            "target_standard": [self.target.centre.tolist(), self.target.scale.tolist()],
            "weights": [each.tolist() for each in self.weights],
            "biases": [each.tolist() for each in self.biases],
        }

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> _Network:
        """Return the one that was kept."""
        features, target = (
            Standard.of(*map(np.array, content[name]))
            for name in ("feature_standard", "target_standard")
        )
        weights, biases = (
            [np.array(each) for each in content[name]] for name in ("weights", "biases")
        )
        return cls(features, target, weights, biases)


@dataclass(frozen=True, slots=True, eq=False)
class _Mean:
    """Networks whose mean is the estimate, and the passes that they took."""

    networks: tuple[_Network, ...]
    epochs: int

    def __call__(self, features: Matrix) -> Matrix:
        return cast("Matrix", sum(each(features) for each in self.networks) / len(self.networks))


class _Training:
    """A network that learns from samples, while some that it does not see judge it."""

    def __init__(self, samples: Samples, out: NDArray[np.bool_], network: MLPRegressor) -> None:
        inner = part(samples, ~out)
        self.features, self.target = Standard(inner.features), Standard(inner.target)
        self._x, self._y = self.features.to(inner.features), self._wanted(inner.target)
        self._unseen = self.features.to(samples.features[out])
        self._judge = self._wanted(samples.target[out])
        self._network = network

    def _wanted(self, target: Matrix) -> Matrix:
        y = self.target.to(target)
        return y if y.shape[1] > 1 else y[:, 0]

    def step(self) -> Matrix:
        """Make a pass over the samples and return the squared errors at those that judge."""
        self._network.partial_fit(self._x, self._y)
        if not len(self._unseen):
            return np.empty(0)
        return np.ravel((self._network.predict(self._unseen) - self._judge) ** 2)

    def now(self) -> _Network:
        """Return the network as it is."""
        return _Network(
            self.features,
            self.target,
            [each.copy() for each in self._network.coefs_],
            [each.copy() for each in self._network.intercepts_],
        )


class NeuralNetwork(ShuffledMethod):
    """Feed-forward network, rectified linear units, Adam; features and targets standardised.

    It stops early: the weights are those of the epoch with the smallest error on whole coarse cells that
    are held out of the samples it is fitted to, by lot. They are part of the training samples, standardising
    does not see them, and with their neighbours left in, samples by lot would stop it too late.
    Where one lot has few cells, several networks learn side by side, each with another lot held out: the error at the
    cells of all lots says when to stop, and the networks' mean is the estimate.
    All depths are outputs of one network. Importances are by permutation.

    Parameters
    ----------
    hidden : sequence of int
        Units of each hidden layer.
    alpha : float
        Penalty of the squares of weights.
    learning_rate : float
        Of Adam.
    batch_size : int
        Samples of a step at most; with few samples fewer, so that a pass has some ten steps and patience is the same.
    max_epochs : int
        Passes over the samples at most.
    patience : int
        Passes without a smaller held-out error after which it stops.
    held_out : float
        Share of the cells that a network holds out to stop early; 0 for ``max_epochs`` passes.
    networks : int
        Networks at most: as many as it takes for 30 cells to judge.
    importance_rows : int
        Samples that the importances are measured on; 0 for none.
    folds : int
        Folds of the residuals that make the uncertainty; 0 for none, see `ResidualMethod`.
    random_state : int
        Seed.
    """

    name: ClassVar[str] = "ann"
    suffix: ClassVar[str] = ".json"

    model_: _Mean

    def __init__(
        self,
        hidden: Sequence[int] = (64, 32),
        alpha: float = 1e-4,
        learning_rate: float = 3e-3,
        batch_size: int = 128,
        max_epochs: int = 200,
        patience: int = 15,
        held_out: float = 0.1,
        networks: int = 5,
        importance_rows: int = 500,
        folds: int = 3,
        random_state: int = 0,
    ) -> None:
        self.hidden = hidden
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.held_out = held_out
        self.networks = networks
        self.importance_rows = importance_rows
        self.folds = folds
        self.random_state = random_state

    @property
    def report(self) -> dict[str, Any]:
        """How many passes over the samples it took, and how many networks."""
        return {"epochs": self.model_.epochs, "networks": len(self.model_.networks)}

    def _learn(self, samples: Samples) -> _Mean:
        rng = np.random.RandomState(self.random_state)
        trainings = [
            _Training(samples, out, self._unfitted(int((~out).sum()), rng))
            for out in self._held_out(samples, rng)
        ]
        least, best, kept = np.inf, 0, None
        # products of matrices split among threads differ in the last digit, and training amplifies that
        with threadpool_limits(1, user_api="blas"):
            for epoch in range(1, self.max_epochs + 1):
                squares = np.concatenate([each.step() for each in trainings])
                if not len(squares):
                    continue
                error = float(squares.mean())
                if error < least:
                    least, best = error, epoch
                    kept = [each.now() for each in trainings]
                elif epoch - best >= self.patience:
                    break
        if kept is None:
            kept, best = [each.now() for each in trainings], self.max_epochs
        return _Mean(tuple(kept), best)

    def _unfitted(self, n: int, rng: np.random.RandomState) -> MLPRegressor:
        return MLPRegressor(
            hidden_layer_sizes=tuple(self.hidden),
            alpha=self.alpha,
            learning_rate_init=self.learning_rate,
            batch_size=min(self.batch_size, max(n // _STEPS, _LEAST_BATCH), n),
            random_state=rng,  # a number would shuffle every epoch alike
        )

    def _held_out(self, samples: Samples, rng: np.random.RandomState) -> list[NDArray[np.bool_]]:
        """Return which samples each network holds out: whole cells, or samples when all are of one."""
        n = len(samples)
        if n < _FEW or self.held_out <= 0:
            return [np.zeros(n, bool)]
        cells, cell = np.unique(samples.groups, return_inverse=True)
        if len(cells) == 1:
            cell = np.arange(n)
        count = int(cell.max()) + 1
        size = max(1, round(self.held_out * count))
        lots = min(-(-_JUDGES // size), count // size, max(self.networks, 1))
        order = rng.permutation(count)
        return [np.isin(cell, order[i * size : (i + 1) * size]) for i in range(lots)]

    def _estimate(self, model: _Mean, features: Matrix) -> Matrix:
        return model(features)

    def save(self, path: Path) -> None:
        """Write the fitted method as JSON; numbers round-trip exactly."""
        content = {
            **self._basics(),
            "importances": None if self.importances_ is None else self.importances_.tolist(),
            "networks": [each.content for each in self.model_.networks],
            "epochs": self.model_.epochs,
        }
        path.write_text(json.dumps(content, sort_keys=True), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a fitted method from JSON.

        Raises
        ------
        StoreError
            When the file is damaged or holds something else.
        """
        with readable(path, cls.name):
            content = checked(json.loads(path.read_text(encoding="utf-8")), cls.name)
            method = cls._begun(content)
            kept = content["importances"]
            method.importances_ = None if kept is None else np.array(kept)
            # files of older versions hold one network itself
            networks = [_Network.of(each) for each in content.get("networks", [content])]
            method.model_ = _Mean(tuple(networks), content["epochs"])
        return method
