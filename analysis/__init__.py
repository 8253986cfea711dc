"""From records to tables, figures and a report. Reads records only; never trains.

    locate                       an experiment -> its files
    files -> recordings -> load  files -> rows -> trials and values -> checked `Records`
    select                       hyperparameters chosen on validation, reported on test
    ranks, posthoc, statistics   what is computed of them
    bands, answer, health        the best defense per norm and radii, and what makes it doubtful
    certificates, measurements   proofs by name; every selected accuracy
    autoattack                   AutoAttack on the selected networks
    tables/*.py, figures/*.py    one file each: `build(records) -> DataFrame`, and how to print it
    build, figure_files, report  their files, and the page of them all
    paper                        the paper's own numbers

Rows are polars inside; what `build` hands to a person is pandas.

A new table is one new file in `tables/` with a `TABLE`, a new figure one in `figures/` with a
`FIGURE`: being there, it is built, written, shown in the report and tested.
"""
