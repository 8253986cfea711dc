"""One table as text for a terminal, as the sweep prints it at its end."""

from __future__ import annotations

from analysis.artifact import chosen
from analysis.records import Records
from analysis.render import to_markdown


def table_text(name: str, records: Records) -> str:
    """Return a table, and below it the paper's numbers where the paper has such a table.

    Args:
        name: of the table.
        records: loaded records.

    Raises:
        ValueError: no such table.
    """
    (table,) = chosen((name,))[0]
    frame = table.build(records)
    if frame.empty:
        return f"{table.title}: nothing in these records"
    parts = [table.title, to_markdown(table.layout(frame))]
    if table.compare is not None:
        parts += [f"The paper's numbers, {table.compared}:", to_markdown(table.compare(frame))]
    return "\n\n".join(parts)
