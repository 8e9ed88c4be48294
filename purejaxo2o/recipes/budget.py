"""The budget of `scale="small"`, the same for every recipe so that their curves can be laid over each other."""

OFFLINE = 6_000
ONLINE = 12_000
WARMUP = 600
OFFLINE_SEGMENTS = 6
ONLINE_SEGMENTS = 24
BATCH = 128
HIDDEN = (64, 64)
EVAL_EPISODES = 32
