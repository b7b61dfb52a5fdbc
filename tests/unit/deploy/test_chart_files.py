"""The chart's copies of what the product has elsewhere: `python -m deploy.helm` makes them."""

from deploy.helm.__main__ import FILES, copies


def test_the_chart_has_connector_files_and_rules_as_the_product_has_them() -> None:
    held = {path.relative_to(FILES): path.read_bytes() for path in FILES.rglob("*.*")}

    assert held == copies(), "run python -m deploy.helm"
    assert held
