"""What a record is: columns, units and statuses of the two result tables (standard library only).

This is the one leaf that both `sweep` (which writes) and `analysis` (which reads) import.
Accuracies lie in [0, 1]. `*_grid_radius` is the value in the paper's grid; `train_radius` and
`attack_radius` are the true radii in the scaled input space (times sqrt(D) for L1 and L2).
"""

from __future__ import annotations

from typing import Final, Literal

SCHEMA_VERSION: Final = 2
# Raised whenever training changes results, so that old networks are not reused.
NUMERICS_VERSION: Final = 3
# Raised whenever evaluation changes results, so that kept networks are evaluated again.
EVALUATION_VERSION: Final = 1

Status = Literal["complete", "diverged", "failed"]
STATUSES: Final[tuple[str, ...]] = ("complete", "diverged", "failed")
SPLITS: Final[tuple[str, ...]] = ("validation", "test")

CERTIFIED: Final = "certified-l1"
CERTIFIED_TIGHT: Final = "certified-l1-tight"
CERTIFIED_BEST: Final = ("certified-l1-best", "certified-l2", "certified-linf")

# The health flags of a row and what they mean; a trial has those of its rows. They mark accuracies
# that an attacker may lower further; "significantly" means more than three standard deviations of
# sampling noise. The last one marks rounding, of which a certificate, proven in exact arithmetic,
# says nothing. `not-decreasing` is about several rows: whoever reads all of them raises it.
FLAGS: Final[dict[str, str]] = {
    "constant-prediction": "every evaluated sample gets the same class",
    "no-gradient": "at over a tenth of the correctly classified samples the loss has no gradient "
    "that the attacks could follow",
    "not-decreasing": "under some attack significantly more samples survive at a larger radius",
    "weaker-than-fgm": "significantly more samples survive PGD than the one-step fast gradient "
    "attack of the same norm and radius",
    "gradient-masking": "the vertex attack, which uses no gradient, breaks significantly more "
    "samples than all L1 gradient attacks together",
    "certificate-refuted": "in the precision that the network runs in, it loses the class of some "
    "sample within a certified radius: an alarm that a sound certificate never raises",
}

# Column name -> (Arrow type name, nullable). One row per trial x split x attack x radius.
# A diverged or failed trial has the same rows with null accuracies.
RECORD_COLUMNS: Final[dict[str, tuple[str, bool]]] = {
    "schema_version": ("int32", False),
    "experiment": ("string", False),
    "trial_id": ("string", False),
    "pack_id": ("string", False),
    "status": ("string", False),
    "diverged_step": ("int64", True),
    "dataset": ("string", False),
    "dataset_hash": ("string", False),
    "network": ("string", False),
    "defense": ("string", False),
    "grid_radius": ("float64", False),
    "train_radius": ("float64", False),
    "learning_rate": ("float64", False),
    "batch_size": ("int64", False),
    "scaling": ("string", False),
    "steps": ("int64", False),
    "seed": ("int64", False),
    "split": ("string", False),
    "attack": ("string", False),
    "attack_norm": ("string", False),
    "attack_grid_radius": ("float64", False),
    "attack_radius": ("float64", False),
    "accuracy": ("float64", True),
    "num_samples": ("int64", False),
    # Networks x steps per second of the pack this trial was trained in; a pack of one gives
    # the single-network rate of the paper's Tables 2 and 6.
    "train_steps_per_second": ("float64", True),
    "git_commit": ("string", False),
    # Beyond the columns that outside tools rely on:
    "split_seed": ("int64", False),
    "num_features": ("int64", False),
    "num_classes": ("int64", False),
    "pack_size": ("int64", False),
    "train_seconds": ("float64", True),  # this trial's share of its pack's training time
    "evaluation_seconds": ("float64", True),  # likewise
    "device": ("string", False),
    "leaky": ("bool", False),  # the label was kept as a feature (data.keep_target_column)
    "simulated": ("bool", False),  # made-up record of a `simulate=true` run
    "flags": ("string", False),  # space-separated names of FLAGS that this row raises
    "error": ("string", True),  # one line, only where status is failed
    # Canonical JSON of what the trial's id hashes and has no column of its own, at the values that
    # take effect, defaults included (`sweep.grid.options.training_options`).
    "training_options": ("string", True),
    "numerics_version": ("int64", False),  # of the training
    # Likewise of what was measured while it trained. It is in no id: it changes no weight.
    "curve_options": ("string", True),
    # The hash of split, attack, both of its radii and `evaluation_options`. With `trial_id` it is
    # the row's key (`sweep.results.identity`).
    "evaluation_id": ("string", True),
    # Canonical JSON of how the accuracy was measured: the attack's own fields, the engine, the
    # rule for samples, the version of the evaluation (`sweep.grid.rows.evaluation_options`).
    "evaluation_options": ("string", True),
    "weights_hash": ("string", True),  # of the network's parameters; null where it diverged
    "source_fingerprint": ("string", True),  # of the code that trained it
    "evaluation_fingerprint": ("string", True),  # of the code that made this row
}

# What stands for a column that records made elsewhere may lack. 0 of a number is unknown:
# the analysis derives the number of features from the radii, and the pack's size from its trials.
STAND_INS: Final[dict[str, object]] = {
    "split_seed": 0,
    "train_seconds": None,
    "evaluation_seconds": None,
    "device": "",
    "leaky": False,
    "simulated": False,
    "flags": "",
    "error": None,
    "training_options": None,
    "numerics_version": 0,
    "curve_options": None,
    "evaluation_id": None,
    "evaluation_options": None,
    "weights_hash": None,
    "source_fingerprint": None,
    "evaluation_fingerprint": None,
    "num_features": 0,
    "num_classes": 0,
    "pack_size": 0,
}

# The second table: what was measured while training. One row per trial x step x quantity.
# quantity: validation_accuracy | loss | objective | adversarial_loss | bound_holds
CURVE_COLUMNS: Final[dict[str, tuple[str, bool]]] = {
    "schema_version": ("int32", False),
    "experiment": ("string", False),
    "trial_id": ("string", False),
    "pack_id": ("string", False),
    "dataset": ("string", False),
    "network": ("string", False),
    "defense": ("string", False),
    "grid_radius": ("float64", False),
    "learning_rate": ("float64", False),
    "batch_size": ("int64", False),
    "scaling": ("string", False),
    "seed": ("int64", False),
    "step": ("int64", False),
    "quantity": ("string", False),
    "norm": ("string", True),  # l1 | l2 | linf where the quantity depends on a ball
    "radius": ("float64", True),  # grid radius of that ball
    "value": ("float64", True),
}
