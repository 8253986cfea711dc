"""From records to tables, figures and a report. Reads records only; never trains.

    locate                     an experiment -> its files
    files -> recordings -> load   rows of files -> trials and values -> checked `Records`
    select                     hyperparameters chosen on validation, reported on test
    ranks, posthoc, stats      what is computed of them
    strong                     AutoAttack on the selected networks
    tables/*.py, figures/*.py  one file each: `build(records) -> DataFrame`, and how to print it
    build, drawing, report     their files, and the page of them all
    paper                      the paper's own numbers

A new table is one new file in `tables/` with a `TABLE`, a new figure one in `figures/` with a
`FIGURE`: being there, it is built, written, shown in the report and tested.
"""
