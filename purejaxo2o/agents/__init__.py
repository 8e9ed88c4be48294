"""Update rules, one a file."""

from purejaxo2o.agents.awac import AWAC
from purejaxo2o.agents.bc import BC
from purejaxo2o.agents.boorl import BOORL
from purejaxo2o.agents.bppo import BPPO
from purejaxo2o.agents.cal_ql import CalQL
from purejaxo2o.agents.cql import CQL
from purejaxo2o.agents.dqn import DQN
from purejaxo2o.agents.edac import EDAC
from purejaxo2o.agents.famo2o import FamAWAC, FamO2O
from purejaxo2o.agents.fql import FQL
from purejaxo2o.agents.h2o import H2O
from purejaxo2o.agents.hac import HAC
from purejaxo2o.agents.hnpg import HNPG
from purejaxo2o.agents.iql import IQL
from purejaxo2o.agents.jsrl import JSRL
from purejaxo2o.agents.moorl import MOORL
from purejaxo2o.agents.off2on import Off2On
from purejaxo2o.agents.pex import PEX
from purejaxo2o.agents.ppo import PPO
from purejaxo2o.agents.ppo_il import PPOIL
from purejaxo2o.agents.props import PROPS
from purejaxo2o.agents.proto import PROTO
from purejaxo2o.agents.qc import QC
from purejaxo2o.agents.rebrac import ReBRAC
from purejaxo2o.agents.ro2o import RO2O
from purejaxo2o.agents.sac import SAC
from purejaxo2o.agents.so2 import SO2
from purejaxo2o.agents.spot import SPOT
from purejaxo2o.agents.td3 import TD3
from purejaxo2o.agents.td3_bc import TD3BC
from purejaxo2o.agents.uni_o4 import UniO4
from purejaxo2o.loop.agent import Agent

__all__ = [
    "AWAC",
    "BC",
    "BOORL",
    "BPPO",
    "CQL",
    "DQN",
    "EDAC",
    "FQL",
    "H2O",
    "HAC",
    "HNPG",
    "IQL",
    "JSRL",
    "MOORL",
    "PEX",
    "PPO",
    "PPOIL",
    "PROPS",
    "PROTO",
    "QC",
    "RO2O",
    "SAC",
    "SO2",
    "SPOT",
    "TD3",
    "TD3BC",
    "Agent",
    "CalQL",
    "FamAWAC",
    "FamO2O",
    "Off2On",
    "ReBRAC",
    "UniO4",
]
