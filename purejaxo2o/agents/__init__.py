"""Update rules, one a file."""

from purejaxo2o.agents.base import Agent
from purejaxo2o.agents.bc import BC
from purejaxo2o.agents.cal_ql import CalQL
from purejaxo2o.agents.cql import CQL
from purejaxo2o.agents.iql import IQL
from purejaxo2o.agents.sac import SAC

__all__ = ["BC", "CQL", "IQL", "SAC", "Agent", "CalQL"]
