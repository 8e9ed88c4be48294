"""Reward transforms of the published protocols, by domain: `(scale, bias)`.

The same task is learned with different rewards by different families of methods; a library that hid this
would not reproduce any of them. Domains not named keep the environment's reward.
"""

CONSERVATIVE = {"maze": (10.0, -5.0), "adroit-binary": (10.0, 5.0), "kitchen": (1.0, -4.0), "toy": (10.0, -5.0)}
"""CQL, Cal-QL, WSRL: failure and success on either side of zero. D4RL's dense hands keep theirs."""

SHIFTED = {"maze": (1.0, -1.0), "toy": (1.0, -1.0)}
"""IQL, RLPD, PEX: every step costs one until the goal."""
