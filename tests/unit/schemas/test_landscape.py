"""The landscape: which system plays which role."""

from __future__ import annotations

import pytest

from schemas.errors import ConfigError, UnknownSystemError
from schemas.landscape import Role, load_landscape

FIRM = """
systems:
  hubspot: {role: crm}
  sugar: {role: crm}
  odoo: {role: erp}
  runn: {role: resource}
  harvest: {role: psa}
  personio: {role: hr}
  datev: {role: payroll}
  ariba: {role: procurement}
firm:
  hand_off_stage: negotiating
"""


def test_a_system_plays_the_role_of_the_file_whatever_its_name() -> None:
    landscape = load_landscape(FIRM)
    assert [(name, landscape.role_of(name)) for name in landscape.systems] == [
        ("hubspot", Role.CRM),
        ("sugar", Role.CRM),
        ("odoo", Role.ERP),
        ("runn", Role.RESOURCE),
        ("harvest", Role.PSA),
        ("personio", Role.HR),
        ("datev", Role.PAYROLL),
        ("ariba", Role.PROCUREMENT),
    ]
    assert landscape.of(Role.CRM) == ["hubspot", "sugar"]
    assert landscape.named_for(Role.ERP) == "odoo"
    assert landscape.plays("harvest", Role.PSA)
    assert not landscape.plays("harvest", Role.ERP)
    assert landscape.firm.hand_off_stage == "negotiating"


def test_of_several_erps_each_bills_for_its_own_legal_entities() -> None:
    landscape = load_landscape(FIRM)
    assert landscape.erps == ["odoo"]
    assert [landscape.erp_of(system) for system in ("odoo", "runn", None)] == ["odoo"] * 3
    assert landscape.bills_for("odoo", "1")
    listed = "role: erp, legal_entities: ['1', '2']"
    two = FIRM.replace("role: erp", listed).replace("role: psa", "role: erp")
    landscape = load_landscape(two)
    assert landscape.erps == ["odoo", "harvest"]
    assert [landscape.erp_of(system) for system in ("odoo", "harvest", "runn", None)] == [
        "odoo",
        "harvest",
        None,
        None,
    ]
    assert [landscape.bills_for("odoo", entity) for entity in "123"] == [True, True, False]
    assert landscape.bills_for("harvest", "3")


def test_the_role_of_a_system_that_is_not_named_is_not_guessed() -> None:
    landscape = load_landscape(FIRM)
    with pytest.raises(UnknownSystemError, match="system=netsuite"):
        landscape.role_of("netsuite")
    assert not any(landscape.plays("netsuite", role) for role in Role)


def test_a_won_deal_is_handed_off_unless_the_firm_says_otherwise() -> None:
    landscape = load_landscape(FIRM.partition("firm:")[0])
    assert landscape.firm.hand_off_stage == "won"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "landscape: Input should be a valid dictionary"),
        ("[crm, erp]", "landscape: Input should be a valid dictionary"),
        ("systems: {", "landscape is not yaml"),
        ("systems: !!python/name:os.system {}", "landscape is not yaml"),
        ("{}", "systems: Field required"),
        ("systems: {}", "systems: Dictionary should have at least 1 item"),
        (FIRM.replace("role: erp", "role: finance"), "systems.odoo.role: Input should be 'crm'"),
        (FIRM.replace("role: erp", "rolle: erp"), "systems.odoo.rolle: Extra inputs are not"),
        (FIRM.replace("odoo", "Odoo 17"), "String should match pattern"),
        (FIRM.replace("negotiating", "signed"), "firm.hand_off_stage: Input should be"),
        (FIRM.replace("hand_off", "handoff"), "firm.handoff_stage: Extra inputs are not permitted"),
        (
            FIRM.replace("{role: psa}", "{role: psa, legal_entities: ['1']}"),
            "systems.harvest.legal_entities: an ERP bills for them, and harvest plays the role psa",
        ),
        (
            FIRM.replace("role: erp", "role: erp, legal_entities: []"),
            "systems.odoo.legal_entities: Tuple should have at least 1 item",
        ),
        (
            FIRM.replace("role: erp", "role: erp, legal_entities: [1]"),
            "systems.odoo.legal_entities.0: Input should be a valid string",
        ),
        (
            FIRM.replace("role: erp", "role: erp, legal_entities: ['']"),
            "systems.odoo.legal_entities.0: String should have at least 1 character",
        ),
        (FIRM.replace("role: psa", "role: resource"), r"2 play the role resource \(runn, harvest"),
        (
            FIRM.replace("role: erp", "role: erp, takes_projects: true"),
            "systems.odoo.takes_projects: it is said of a PSA, and odoo plays the role erp",
        ),
        (
            FIRM.replace("role: erp", "role: erp, takes_status: true"),
            "systems.odoo.takes_status: it is said of a CRM, and odoo plays the role erp",
        ),
        (
            FIRM.replace("role: psa", "role: psa, takes_projects: true").replace(
                "role: payroll", "role: psa, takes_projects: true"
            ),
            r"2 have takes_projects \(harvest, datev\), not 1",
        ),
    ],
)
def test_a_landscape_that_is_wrong_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_landscape(text)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        load_landscape("systems: {a: {role: x}, b: {}}\nfirm: {currency: 1}")
    detail = str(refused.value)
    assert all(place in detail for place in ("systems.a.role", "systems.b.role", "firm.currency"))


@pytest.mark.parametrize("name", ["a|b", "a:b", "a.b", "ä", "", "-", "1a", "a" * 41])
def test_no_name_of_a_system_breaks_an_id_or_a_topic(name: str) -> None:
    with pytest.raises(ConfigError, match="systems"):
        load_landscape(FIRM.replace("odoo:", f"'{name}':"))


@pytest.mark.fault("D9", place="schemas/landscape.py")
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (FIRM + "firm: {}", 13),
        (FIRM.replace("odoo", "sugar"), 5),
        ("systems: &all\n  erp: *all", 1),
        ("[" * 1_000, 1),
        (FIRM.replace("role: psa", "role: x"), 7),
        (FIRM.replace("negotiating", "2026-02-30"), 12),
    ],
)
def test_d9_a_landscape_that_is_wrong_is_refused_with_the_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"^landscape is not (valid|yaml): line {line}: "):
        load_landscape(text)
