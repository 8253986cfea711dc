"""Protocols told apart: what differs in anything but the axes that are compared is not pooled.

Selection is over network, learning rate, batch size, scaling and training grid radius, and seeds
and splits repeat. All else that a trial was made and measured by is its protocol: steps, options,
version of the data, the rules that turn grid radii into radii, samples evaluated, and whether it
was made up. It is a mapping of fields to values; two agree where no field has two values.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from analysis.autoattack import PREFIX
from analysis.names import image_set, label
from analysis.records import WEIGHTED

Field = tuple[str, str]  # (kind, what it is of): the radii of an attack, the data of a split
Fields = Mapping[Field, str]
Common = frozenset[tuple[Field, str]]
Member = tuple[dict[str, object], Fields]  # one signature's counts and fields

STEPS, FIELDS, SIMULATED = "steps", "fields of the defense", "simulated"
DATA, TRAINING_RADII, ATTACK_RADII = "data", "training radii", "attack radii"
VALIDATION_SAMPLES, TEST_SAMPLES = "validation samples", "test samples"
COSTS = "costs"  # of a data set's features, in whose L1 ball a trial was trained
RULES = "rules of measurement"
_OF_ONE_SET = (DATA, TRAINING_RADII, VALIDATION_SAMPLES, TEST_SAMPLES, COSTS)
NAMED = 3  # data sets that a note names
_CLOSE = 1e-4  # of two ratios of radii, relative
_GROUP = ("dataset", "family")


@dataclass(frozen=True)
class Protocol:
    """Trials of one data set and family that agree.

    Attributes:
        number: 1 for the one that most trials of all have, which is analysed unless told else.
        trials: how many follow it.
        differs: what sets it apart from number 1, empty for that.
    """

    dataset: str
    family: str
    number: int
    trials: int
    differs: tuple[str, ...]


def tell_apart(
    trials: pl.DataFrame, values: pl.DataFrame, cells: pl.DataFrame, rules: pl.DataFrame
) -> tuple[pl.DataFrame, tuple[Protocol, ...]]:
    """Return the trials with the number of their `protocol`, and all protocols.

    Args:
        trials: one row per trial, with `family` and a known `num_features`.
        values: rows `trial, cell, attack_radius, accuracy, num_samples, is_test`.
        cells: `cell, attack, attack_grid_radius`.
        rules: `trial, attack, rules`: how each trial was measured.
    """
    signed = _signatures(trials, values, cells, rules)
    counts = (
        signed.signatures.join(trials.select("trial", *_GROUP, "status"), on="trial")
        .group_by(*_GROUP, "signature")
        .agg((pl.col("status") == "complete").sum().alias("complete"), pl.len().alias("trials"))
        .sort(*_GROUP, "signature")
    )
    overall: Counter[tuple[str, Common]] = Counter()
    groups: dict[tuple[str, str], list[Member]] = {}
    for row in counts.to_dicts():
        fields = signed.fields(row["signature"])
        overall[_together(row["dataset"]), _common(fields)] += row["complete"]
        groups.setdefault((row["dataset"], row["family"]), []).append((row, fields))
    numbers, protocols = [], []
    for (dataset, family), members in groups.items():
        agreed = list(_merged(_in_order(members, overall, _together(dataset))))
        for number, (fields, own) in enumerate(agreed, 1):
            differs = _differences(fields, agreed[0][0]) if number > 1 else ()
            size = sum(int(str(row["trials"])) for row in own)
            protocols.append(Protocol(dataset, family, number, size, differs))
            numbers += [(dataset, family, row["signature"], number) for row in own]
    return _numbered(trials, signed.signatures, numbers), tuple(protocols)


def _numbered(
    trials: pl.DataFrame, signatures: pl.DataFrame, numbers: list[tuple[str, str, object, int]]
) -> pl.DataFrame:
    """Return the trials with the `protocol` that is known of their group and signature."""
    schema = {**dict.fromkeys((*_GROUP, "signature"), pl.String), "protocol": pl.Int64}
    lookup = pl.DataFrame(numbers, schema=schema, orient="row")
    return (
        trials.join(signatures, on="trial", how="left", maintain_order="left")
        .join(lookup, on=[*_GROUP, "signature"], how="left", maintain_order="left")
        .drop("signature")
    )


def notes(protocols: Iterable[Protocol], analysed: int) -> list[str]:
    """Return a line on each protocol that is not analysed, and how to choose it."""
    alike: dict[tuple[int, tuple[str, ...]], list[Protocol]] = {}
    for protocol in protocols:
        if protocol.number not in (1, analysed) or protocol.number == analysed != 1:
            alike.setdefault((protocol.number, protocol.differs), []).append(protocol)
    lines = []
    for (number, differs), group in sorted(alike.items()):
        what = f"{sum(p.trials for p in group)} trials of {_names(p.dataset for p in group)}"
        how = ", ".join(differs)
        if number == analysed:
            lines.append(f"analysed are {what} by protocol {number}: {how}; all others are apart")
        else:
            lines.append(
                f"{what} follow another protocol and are apart: {how}; protocol={number} "
                "analyses them"
            )
    return lines


def without(told: pl.DataFrame, analysed: int) -> list[str]:
    """Say, if so, which defenses have trials of other protocols alone, and so no result."""
    lost = (
        told.group_by("dataset", "family", "defense")
        .agg((pl.col("protocol") == analysed).any().alias("there"))
        .filter(~pl.col("there"))
        .group_by("defense")
        .agg(pl.col("dataset").unique().sort())
        .sort("defense")
    )
    named = ", ".join(f"{label(d)} on {_names(datasets)}" for d, datasets in lost.rows())
    return [f"no trial of the protocol analysed: {named}"] if named else []


def mixture(trials: pl.DataFrame) -> list[str]:
    """Say, if so, that steps or options differ between data sets that ranks put together."""
    lines = []
    steps = _items(trials, STEPS, pl.lit(""), pl.col("steps"))
    items = pl.concat([steps, _of_options(trials).filter(~pl.col("kind").is_in([FIELDS, COSTS]))])
    items = items.join(trials.select("trial", "dataset"), on="trial")
    for (kind,), own in items.group_by("kind", maintain_order=True):
        sets = own.group_by("value").agg(pl.col("dataset").unique().sort())
        if sets.height > 1:
            ordered = sets.sort(pl.col("value").cast(pl.Float64, strict=False), "value")
            each = (f"{value} on {_names(names)}" for value, names in ordered.iter_rows())
            lines.append(f"{kind} differ between data sets: {'; '.join(each)}")
    return lines


def versions_of_code(trials: pl.DataFrame) -> list[str]:
    """Say, if so, that networks of one defense which compete were trained by different code.

    Args:
        trials: with `source_fingerprint`, null where it is not known, and `git_commit`.
    """
    known = trials.filter(pl.col("source_fingerprint").is_not_null())
    versions = (
        known.with_columns(method=pl.col("defense").str.split("(").list.first())
        .group_by("method", "network", "source_fingerprint")
        .agg(pl.len().alias("trials"), pl.col("git_commit").unique().sort().str.join(", "))
        .sort(
            "method",
            "network",
            "trials",
            "source_fingerprint",
            descending=[False] * 2 + [True] * 2,
        )
    )
    lines = []
    for (method, network), own in versions.group_by("method", "network", maintain_order=True):
        if own.height > 1:
            each = " and ".join(
                f"{n} by {commit}" for n, commit in own["trials", "git_commit"].rows()
            )
            lines.append(
                f"networks of {label(str(method))} ({network}) were trained by {own.height} "
                f"versions of its code and compete all the same: {each}; the sweep's command with "
                "retrain=changed trains the older ones again"
            )
    return lines


def _names(datasets: Iterable[str]) -> str:
    names = sorted(set(datasets))
    return ", ".join(names) if len(names) <= NAMED else f"{len(names)} data sets"


def _together(dataset: str) -> str:
    """Name the data sets that ranks put together: the tabular ones; image sets stand alone."""
    return "" if image_set(dataset) is None else dataset


def _in_order(
    members: list[Member], overall: Mapping[tuple[str, Common], int], together: str
) -> list[Member]:
    """Sort by finished trials over the data sets that stand together, then by those of one."""

    def key(member: Member) -> tuple[int, int, int, str]:
        row, fields = member
        complete, trials = int(str(row["complete"])), int(str(row["trials"]))
        everywhere = overall[together, _common(fields)]
        return -everywhere, -complete, -trials, repr(sorted(fields.items()))

    return sorted(members, key=key)


def _common(fields: Fields) -> Common:
    """Return the fields that sweeps share across data sets, which no costs of features do."""
    shared = (item for item in fields.items() if item[0][0] not in _OF_ONE_SET)
    return frozenset(item for item in shared if WEIGHTED not in item[0][1])


def _merged(
    members: Iterable[Member],
) -> Iterator[tuple[Fields, list[dict[str, object]]]]:
    """Yield the fields and members of each protocol: a member joins the first it agrees with."""
    found: list[tuple[dict[Field, str], list[dict[str, object]]]] = []
    for row, fields in members:
        for agreed, own in found:
            if all(agreed.get(name, value) == value for name, value in fields.items()):
                agreed.update(fields)
                own.append(row)
                break
        else:
            found.append((dict(fields), [row]))
    yield from found


def _differences(fields: Fields, first: Fields) -> tuple[str, ...]:
    """Return each difference in words, those of several attacks or splits as one."""
    told = {
        f"{kind} {value}, not {first[kind, of]}": None
        for (kind, of), value in sorted(fields.items())
        if first.get((kind, of), value) != value
    }
    return tuple(told)


@dataclass(frozen=True)
class _Signed:
    """Every trial's signature: the numbers of its items, each a field with its value."""

    signatures: pl.DataFrame
    items: list[tuple[str, str, str]]

    def fields(self, signature: str) -> Fields:
        found = (self.items[int(number)] for number in signature.split("-"))
        return {(kind, of): value for kind, of, value in found}


def _signatures(
    trials: pl.DataFrame, values: pl.DataFrame, cells: pl.DataFrame, rules: pl.DataFrame
) -> _Signed:
    own = rules.join(trials.select("trial"), on="trial", how="semi")
    measured = _items(own, RULES, pl.col("attack"), pl.col("rules"))
    rows = pl.concat([_of_training(trials), _of_evaluation(trials, values, cells), measured])
    known = rows.select("kind", "of", "value").unique().sort("kind", "of", "value")
    numbered = rows.join(known.with_row_index("item"), on=["kind", "of", "value"])
    signatures = (
        numbered.sort("trial", "item")
        .group_by("trial", maintain_order=True)
        .agg(pl.col("item").cast(pl.String).str.join("-").alias("signature"))
    )
    return _Signed(signatures, known.rows())


def _items(frame: pl.DataFrame, kind: str, of: pl.Expr, value: pl.Expr) -> pl.DataFrame:
    return frame.select(
        "trial",
        kind=pl.lit(kind),
        of=of.cast(pl.String),
        value=value.cast(pl.String).fill_null("null"),
    )


def _rule(low: pl.Expr, high: pl.Expr) -> pl.Expr:
    """Name the rule by which radii follow from grid radii, from the ratio of the two."""
    root = pl.col("num_features").cast(pl.Float64).sqrt()

    def near(value: pl.Expr) -> pl.Expr:
        return ((low - value).abs() <= _CLOSE * value) & ((high - value).abs() <= _CLOSE * value)

    return (
        pl.when(near(pl.lit(1.0)))
        .then(pl.lit("as in the grid"))
        .when(near(root))
        .then(pl.lit("times sqrt(D)"))
        .when((high - low).abs() <= _CLOSE * high.abs())
        .then(pl.format("times {}", low.round_sig_figs(4)))
        .otherwise(pl.lit("by no one rule"))
    )


def _of_training(trials: pl.DataFrame) -> pl.DataFrame:
    ratio = pl.col("train_radius") / pl.col("grid_radius")
    none = pl.lit("")
    return pl.concat(
        [
            _items(trials, STEPS, none, pl.col("steps")),
            _of_options(trials),
            _items(trials, SIMULATED, none, pl.col("simulated")),
            _items(trials, DATA, pl.col("split_seed"), pl.col("dataset_hash")),
            _items(
                trials.filter(pl.col("grid_radius") > 0),
                TRAINING_RADII,
                pl.col("defense"),
                _rule(ratio, ratio),
            ),
        ]
    )


def _of_options(trials: pl.DataFrame) -> pl.DataFrame:
    """Return what each trial's options say, and whether they are recorded.

    Raises:
        ValueError: options that are no JSON mapping.
    """
    rows = []
    for text in trials["training_options"].drop_nulls().unique(maintain_order=True):
        options = _mapping(text)
        fields = options.pop("defense", None)
        if fields is not None:
            rows.append((text, FIELDS, True, _text(fields)))
        rows += [
            (text, key, False, value if isinstance(value, str) else _text(value))
            for key, value in options.items()
            if key != "keep_target_column"  # such records are marked leaky
        ]
    schema = {"training_options": pl.String, "kind": pl.String, "own": pl.Boolean}
    known = pl.DataFrame(rows, schema={**schema, "value": pl.String}, orient="row")
    of = pl.when("own").then("defense").otherwise(pl.lit(""))
    found = (
        trials.select("trial", "defense", "training_options")
        .join(known, on="training_options")
        .select("trial", "kind", of.alias("of"), "value")
    )
    recorded = pl.col("training_options").is_null().replace_strict({True: "no", False: "yes"})
    return pl.concat([found, _items(trials, "options recorded:", pl.lit(""), recorded)])


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _mapping(text: str) -> dict[str, object]:
    try:
        options = json.loads(text)
    except ValueError as error:
        options = error
    if not isinstance(options, dict):
        raise ValueError(f"column training_options of the records is no JSON mapping: {options}")
    return options


def _of_evaluation(
    trials: pl.DataFrame, values: pl.DataFrame, cells: pl.DataFrame
) -> pl.DataFrame:
    found = _measured(values, cells).join(
        trials.select("trial", "num_features", "split_seed"), on="trial"
    )
    of_split = pl.format("{}, split {}", "attack", "split_seed")
    low, high = pl.col("fewest").cast(pl.String), pl.col("most").cast(pl.String)
    samples = pl.when(low == high).then(low).otherwise(pl.format("{} to {}", low, high))
    balls = found.filter(pl.col("low").is_not_null())
    counted = found.filter(pl.col("most").is_not_null())
    rule = _rule(pl.col("low"), pl.col("high"))
    parts = [
        _items(balls, ATTACK_RADII, pl.format("{}, {}", "attack", "is_test"), rule),
        _items(counted.filter("is_test"), TEST_SAMPLES, of_split, samples),
        _items(counted.filter(~pl.col("is_test")), VALIDATION_SAMPLES, of_split, samples),
    ]
    return pl.concat(parts)


def _measured(values: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Return per trial, attack and split the span of radius over grid radius, and of samples.

    Strong attacks are left out: they are made of chosen networks, on samples of their own.
    """
    known = cells.filter(~pl.col("attack").str.starts_with(PREFIX))
    names = pl.Enum(known["attack"].unique().sort())
    coded = known.select("cell", "attack_grid_radius", pl.col("attack").cast(names))
    grid = pl.col("attack_grid_radius")
    return (
        values.lazy()
        .join(coded.lazy(), on="cell")
        .with_columns(
            ratio=pl.when(grid > 0).then(pl.col("attack_radius") / grid),
            samples=pl.when(pl.col("accuracy").is_not_null()).then("num_samples"),
        )
        .group_by("trial", "attack", "is_test")
        .agg(
            low=pl.col("ratio").min(),
            high=pl.col("ratio").max(),
            fewest=pl.col("samples").min(),
            most=pl.col("samples").max(),
        )
        .collect(engine="streaming")
        .with_columns(pl.col("attack").cast(pl.String))
    )
