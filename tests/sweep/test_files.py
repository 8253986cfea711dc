from __future__ import annotations

import pytest

from sweep import files


@pytest.mark.parametrize(
    "text",
    [
        *(
            "s3://bucket/x",
            "s3:/bucket",
            "s3:bucket",
            "S3A://b/x",
            "gs://b",
            "gcs://b/x",
            "az://c/x",
        ),
        *("abfs://c@a.dfs.core.windows.net/x", "abfss://c@a/x", "wasbs://c@a/x", "adl://a/x"),
        *("hdfs://host:9000/x", "file:///x", "file:/x", "file:x", "memory://x", " s3://bucket"),
        *("https://host/x", "dbfs:/x", "unknown+scheme://x", "az:container/x"),
    ],
)
def test_address_is_no_folder_of_records(text: str) -> None:
    reason = files.why_no_folder(text)
    assert reason is not None
    assert "object store" in reason
    assert "\n" not in reason


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "~/x", "~"])
def test_text_that_names_no_folder_is_none(text: str) -> None:
    assert files.why_no_folder(text) is not None


@pytest.mark.parametrize(
    "text", ["results", "/mnt/shared/results", "./s3/x", "a b", "x/s3:/y", "2024:run", "gsx", "äé"]
)
def test_path_is_a_folder_of_records(text: str) -> None:
    assert files.why_no_folder(text) is None
