"""Methods of theory papers on small tables (`envs/tabular.py`), to be read beside the papers.

Pure functions of counts and keys, each checked against what can be computed exactly. They are no deep methods and no
recipes; what is reconstructed rather than published is said in each file."""
