"""Artificial neural network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

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


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    """Layers of weights (in, out) and biases (out,), rectified between them, in standardised units."""

    features: Standard
    target: Standard
    weights: list[Matrix]
    biases: list[Matrix]
    epochs: int

    def __call__(self, features: Matrix) -> Matrix:
        values = self.features.to(features)
        for number, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            if number:
                np.maximum(values, 0.0, out=values)
            values = values @ weights + biases
        return self.target.back(values)


class NeuralNetwork(ShuffledMethod):
    """Feed-forward network, rectified linear units, Adam; features and targets standardised.

    It stops early: the weights are those of the epoch with the smallest error on whole coarse cells that
    are held out of the samples it is fitted to, by lot. They are part of the training samples, standardising
    does not see them, and with their neighbours left in, samples by lot would stop it too late.
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
        Share of the cells that is held out to stop early; 0 for ``max_epochs`` passes.
    importance_rows : int
        Samples that the importances are measured on; 0 for none.
    folds : int
        Folds of the residuals that make the uncertainty; 0 for none, see `ResidualMethod`.
    random_state : int
        Seed.
    """

    name: ClassVar[str] = "ann"
    suffix: ClassVar[str] = ".json"

    model_: _Network

    def __init__(
        self,
        hidden: Sequence[int] = (64, 32),
        alpha: float = 1e-4,
        learning_rate: float = 3e-3,
        batch_size: int = 128,
        max_epochs: int = 200,
        patience: int = 15,
        held_out: float = 0.1,
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
        self.importance_rows = importance_rows
        self.folds = folds
        self.random_state = random_state

    @property
    def report(self) -> dict[str, Any]:
        """How many passes over the samples it took."""
        return {"epochs": self.model_.epochs}

    def _learn(self, samples: Samples) -> _Network:
        rng = np.random.RandomState(self.random_state)
        out = self._held_out(samples, rng)
        inner = part(samples, ~out)
        features, target = Standard(inner.features), Standard(inner.target)
        x, y = features.to(inner.features), target.to(inner.target)
        unseen, wanted = features.to(samples.features[out]), target.to(samples.target[out])
        network = MLPRegressor(
            hidden_layer_sizes=tuple(self.hidden),
            alpha=self.alpha,
            learning_rate_init=self.learning_rate,
            batch_size=min(self.batch_size, max(len(x) // _STEPS, _LEAST_BATCH), len(x)),
            random_state=rng,  # a number would shuffle every epoch alike
        )
        y = y if y.shape[1] > 1 else y[:, 0]
        wanted = wanted if wanted.shape[1] > 1 else wanted[:, 0]
        least, best, kept = np.inf, 0, None
        # products of matrices split among threads differ in the last digit, and training amplifies that
        with threadpool_limits(1, user_api="blas"):
            for epoch in range(1, self.max_epochs + 1):
                network.partial_fit(x, y)
                if not len(unseen):
                    continue
                error = float(((network.predict(unseen) - wanted) ** 2).mean())
                if error < least:
                    least, best = error, epoch
                    kept = [each.copy() for each in (*network.coefs_, *network.intercepts_)]
                elif epoch - best >= self.patience:
                    break
        layers = len(network.coefs_)
        learned = kept or [*network.coefs_, *network.intercepts_]
        epochs = best if kept else self.max_epochs
        return _Network(features, target, learned[:layers], learned[layers:], epochs)

    def _held_out(self, samples: Samples, rng: np.random.RandomState) -> NDArray[np.bool_]:
        """Return which samples are held out to stop early: whole cells, or samples when all are of one."""
        n = len(samples)
        if n < _FEW or self.held_out <= 0:
            return np.zeros(n, bool)
        cells, cell = np.unique(samples.groups, return_inverse=True)
        if len(cells) == 1:
            cell = np.arange(n)
        count = int(cell.max()) + 1
        chosen = np.zeros(count, bool)
        chosen[rng.permutation(count)[: max(1, round(self.held_out * count))]] = True
        return chosen[cell]

    def _estimate(self, model: _Network, features: Matrix) -> Matrix:
        return model(features)

    def save(self, path: Path) -> None:
        """Write the fitted method as JSON; numbers round-trip exactly."""
        model = self.model_
        content = {
            **self._basics(),
            "importances": None if self.importances_ is None else self.importances_.tolist(),
            "feature_standard": [model.features.centre.tolist(), model.features.scale.tolist()],
            "target_standard": [model.target.centre.tolist(), model.target.scale.tolist()],
            "weights": [each.tolist() for each in model.weights],
            "biases": [each.tolist() for each in model.biases],
            "epochs": model.epochs,
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
            features, target = (
                Standard.of(*map(np.array, content[name]))
                for name in ("feature_standard", "target_standard")
            )
            method.model_ = _Network(
                features,
                target,
                [np.array(each) for each in content["weights"]],
                [np.array(each) for each in content["biases"]],
                content["epochs"],
            )
        return method
