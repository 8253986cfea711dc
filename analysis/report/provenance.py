"""The report's last part: which commits, configuration and data the numbers come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape

import polars as pl

from analysis.commands import commands
from analysis.records import Records

_TOO_LONG = ("trial_ids", "older_trial_ids", "config")


def provenance(records: Records) -> str:
    """Return the section `origin`."""
    kept = records.with_label
    trials = records.trials if kept is None else pl.concat([records.trials, kept.trials])
    commits = ", ".join(sorted(set(trials["git_commit"])))
    devices = ", ".join(sorted(set(trials["device"]) - {""})) or "not recorded"
    facts = [
        ("Record files", str(records.provenance.files)),
        ("Experiments", ", ".join(sorted(set(trials["experiment"])))),
        ("Commits of the code that trained", commits),
        ("Devices", devices),
        ("Seeds", ", ".join(str(s) for s in sorted(set(trials["seed"])))),
        ("Steps", ", ".join(str(s) for s in sorted(set(trials["steps"])))),
    ]
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts)
    origin = records.provenance
    made = "\n".join(commands(origin.name, origin.manifests))
    rows += (
        "<dt>Made by, and trained again or completed by</dt>"
        f'<dd><pre tabindex="0">{escape(made)}</pre></dd>'
    )
    manifests = "".join(_manifest(manifest) for manifest in origin.manifests)
    return (
        f'<footer id="origin"><h2>How this was produced</h2><dl>{rows}</dl>{manifests}'
        f"<details><summary>Data hashes</summary>{_hashes(trials)}</details></footer>"
    )


def _manifest(manifest: Mapping[str, object]) -> str:
    name = escape(str(manifest.get("experiment", "experiment")))
    short = {k: v for k, v in manifest.items() if k not in (*_TOO_LONG, "data_hashes")}
    config = json.dumps(manifest.get("config", {}), indent=1, default=str)
    return (
        f"<h3>{name}</h3><pre>{escape(json.dumps(short, indent=1, default=str))}</pre>"
        f"<details><summary>Configuration of {name}</summary>"
        f"<pre>{escape(config)}</pre></details>"
    )


def _hashes(trials: pl.DataFrame) -> str:
    rows = trials.select("dataset", "split_seed", "dataset_hash").unique().sort(pl.all())
    body = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{seed}</td><td><code>{escape(value)}</code></td></tr>"
        for name, seed, value in rows.iter_rows()
    )
    head = "<thead><tr><th>data set</th><th>split</th><th>hash</th></tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'
