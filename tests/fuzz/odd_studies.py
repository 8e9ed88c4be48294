"""Study files that nobody should write."""

from odd_arguments import DIGITS, NUMERIC, OVER, case

GOOD = 'recipes = ["bc"]\ntasks = ["reach"]\ndataset = "test/reach-v0"\nscale = "small"\nseeds = 1\n'
STUDIES = (
    *(
        "",
        "[",
        "recipes",
        "recipes = 1",
        'recipes = "bc"',
        "recipes = []\ntasks = []",
        'recipes = ["bc"]',
        "\0",
        "\ufeffa = 1",
    ),
    *(
        "a = " + "[" * 3_000,
        "a = " + "{b=" * 3_000,
        "[" + "a." * 5_000 + "a]",
        "a.b.c.d = 1\na.b = 2",
        "seeds = " + DIGITS,
    ),
    *(
        GOOD + line
        for line in ("seeds = 2", "seed0 = -1", "seed0 = 2147483648", "nonsense = 1", "out = 5", 'out = ""')
    ),
    *(
        GOOD.replace("seeds = 1", f"seeds = {x}")
        for x in ("0", "-1", "1.5", "true", '"1"', "nan", "100000000000", "[1, 2]")
    ),
    *(GOOD + f"[set]\n{line}" for line in ("agent.lr = 1", "agent.learning_rate = nan", "agent.learning_rate = inf")),
    *(
        GOOD + f"[set]\n{line}"
        for line in ("reward_scale = nan", "reward_bias = 1e308", "agent = 1", "agent.hidden = [[8]]")
    ),
    *(
        GOOD + f"[set]\nagent.hidden = {x}"
        for x in ("[]", "[0]", "[1.5]", "[true]", '["a"]', "[1979-05-27]", '"x"', "{}")
    ),
    *(
        GOOD + f"[set]\noffline.steps = {x}"
        for x in ("0", "-1", "1.5", "true", '"1"', "nan", "[40]", "1979-05-27", DIGITS[:18])
    ),
    *(
        GOOD + f"[over]\nagent.learning_rate = {x}"
        for x in ("1", "[]", "[nan]", "[true]", '["a"]', "[1, 1]", "[[1]]", "[1e308]")
    ),
    *(
        GOOD + f"[over]\n{x}"
        for x in ("agent.hidden = [[8], [0]]", "agent.hidden = [[8], 8]", "offline.mix = ['x']", "x = [1]")
    ),
    GOOD + "[over]\n" + "\n".join(f"{name} = {list(range(1, 201))}" for name in NUMERIC),
    *(
        GOOD + line
        for line in (
            *("reference = 1", "reference = [1, 0]", "reference = [0, nan]", "reference = [0, 1, 2]", "limit = 0"),
            *("limit = true", 'limit = "5"', "limit = 5", "clip = 1", "clip = true", "reference = [0, 100]"),
            *("[reference]\nnobody = [0, 1]", "[reference]\nreach = 5", "[limit]\nreach = -1", "[limit]\nx = 1"),
        )
    ),
    *(
        GOOD + line
        for line in ("[recipe]\nbc = 1", "[recipe.iql.set]\na = 1", "[recipe.bc]\nx = 1", "[recipe.bc.set]\na = 1")
    ),
    *(
        GOOD + "[set]\noffline.updates = 1\nphase.offline.updates = 2",
        GOOD + "[set]\nreward_scale = 2\n[over]\nreward_scale = [1, 2]",
    ),
    *(
        GOOD.replace('"reach"', x)
        for x in ('"nothing"', '"a/b"', '""', "5", '"reach", "reach"', '"../x"', '"a\\u0000b"')
    ),
    *(GOOD.replace('"bc"', x) for x in ('"nothing"', '""', "5", '"bc", "bc"', '"../bc"')),
    *(GOOD.replace('"test/reach-v0"', x) for x in ('"nothing-v0"', "5", "{reach = 5}", '{nobody = "x"}', '"x.hdf5"')),
    *(GOOD.replace('"small"', x) for x in ('"medium"', "5", "true")),
)
SCRIPTS = (
    "study = 5",
    "raise ValueError('two\\nlines')",
    "import nothing_like_this",
    "x = (",
    "",
    "\0",
    "raise SystemExit(3)",
    "raise KeyboardInterrupt",
    "def f(): f()\nf()",
    "import purejaxo2o as o2o\nstudy = o2o.Study(recipes=['nothing'], tasks=['reach'])",
    "import purejaxo2o as o2o\nstudy = o2o.Study(recipes=[5], tasks=[None], seeds='1')",
    "import purejaxo2o as o2o\nstudy = o2o.Study(recipe={}, tasks=['reach'])",
)


def _studies() -> None:
    for text in STUDIES:
        case(["study", "study.toml"], "study.toml", text)
    for text in SCRIPTS:
        case(["study", "study.py"], "study.py", text)
    for argv in (
        ["study", "FILE.toml"],
        ["study", "DIR.toml"],
        ["study", "/dev/zero/x.toml"],
        ["study", "study.toml", "reach"],
    ):
        case(argv)
    for flags in (
        ["--seeds", "0"],
        ["--seeds", DIGITS],
        ["--out", "FILE/x"],
        ["--out", "a\0b"],
        ["--width", "1"],
        [*OVER],
    ):
        case(["study", "study.toml", *flags], "study.toml", GOOD)


_studies()
