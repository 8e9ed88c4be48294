"""Cal-QL (Nakamoto et al. 2023, arXiv 2303.05479, eq. 5.1).

CQL whose push-down stops at a reference value: inside the penalty the values of the two policy sources are
replaced by max(Q, G), G the discounted return-to-go of the recorded trajectory, before the log-density is
subtracted. Random actions and the data term stay as they are; where the bound binds, the gradient is zero. Q is
then conservative on the scale of true returns, and fine-tuning has nothing to unlearn.

Online rows carry their own return-to-go, back-filled when an episode ends (`rollout.py`); rows of unfinished
episodes are not sampled.
"""

from purejaxo2o.agents.cql import CQL
from purejaxo2o.types import Array, Transition, pytree


@pytree
class CalQL(CQL):
    """CQL's settings; batches must carry `return_to_go` while `conservative`."""

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"return_to_go"}) if self.stage == "conservative" else frozenset()

    def bound(self, batch: Transition) -> Array | None:
        return batch.extras["return_to_go"]
