"""dlt: its source of REST APIs, by queries as `nextRecordsUrl` continues them, into JSON lines."""

import json
import os
from pathlib import Path
from typing import Any

import dlt
from dlt.destinations import filesystem
from dlt.sources.helpers.rest_client.auth import OAuth2ClientCredentials
from dlt.sources.rest_api import rest_api_source


def without_attributes(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is no column, as its users do for Salesforce."""
    row.pop("attributes", None)
    return row


def main() -> None:
    """Read all rows of an object."""
    job = json.loads(os.environ["BENCH_BACKFILL"])
    folder = Path(job["folder"])
    source = rest_api_source(
        {
            "client": {
                "base_url": f"{job['url']}/services/data/v62.0/",
                "auth": OAuth2ClientCredentials(
                    access_token_url=f"{job['url']}/services/oauth2/token",
                    client_id="bench",
                    client_secret="bench",
                ),
                "paginator": {"type": "json_link", "next_url_path": "nextRecordsUrl"},
            },
            "resources": [
                {
                    "name": "account",
                    "primary_key": "Id",
                    "write_disposition": "append",
                    "processing_steps": [{"map": without_attributes}],
                    "endpoint": {
                        "path": "queryAll",
                        "params": {"q": job["soql"]},
                        "data_selector": "records",
                    },
                }
            ],
        },
        name="salesforce",
    )
    pipeline = dlt.pipeline(
        "backfill",
        pipelines_dir=str(folder / "pipelines"),
        destination=filesystem(bucket_url=(folder / "rows").as_uri()),
        dataset_name="salesforce",
    )
    pipeline.run(source, loader_file_format="jsonl")


if __name__ == "__main__":
    main()
