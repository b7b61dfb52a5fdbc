"""The chart: valid by the schemas of Kubernetes and its operators, restricted, complete, and of
processes that the product itself would start. `make verify-deploy`."""

import inspect
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from connectors.debezium.client import read_connector_file
from connectors.dispatch.dispatcher import DRAIN_S
from connectors.dispatch.main import load_sink
from connectors.polled.main import load_source
from connectors.systems import Systems
from psastream.check.databases import Address, address_of
from psastream.cli import app
from psastream.governance.published import product_version
from psastream.landscape import read_firm
from runtime.settings import PREFIX, Settings
from schemas.landscape import Role, load_landscape
from schemas.topics import PARTITIONS
from streams.worker import Worker
from tests.deploy import tools
from tests.deploy.chart import (
    CHART,
    CHECKED,
    KAFKA_USERS,
    VALUES,
    Container,
    Manifest,
    Part,
    conforms,
    container_of,
    manifests,
    named,
    of_kind,
    parts,
    read,
    rendered,
    run,
)

EVERY = pytest.mark.parametrize("name", VALUES)


@EVERY
def test_helm_lints_it_strictly(name: str) -> None:
    said = run([tools.helm(), "lint", "--strict", CHART, "--values", VALUES[name]])

    assert said.code == 0, said.text + said.errors
    CHECKED["values files"] += 1


@EVERY
@pytest.mark.parametrize("options", ["", "standby=true", "workers.scaling.mode=hpa"])
def test_every_manifest_conforms_to_the_schema_of_its_kind(name: str, options: str) -> None:
    set_ = ["--set", options] if options else []
    text = rendered(name, *set_)

    assert conforms(text) == []
    CHECKED["manifests against their schemas"] += len(manifests(name, *set_))


@EVERY
def test_pods_are_restricted(name: str) -> None:
    for part in parts(manifests(name)):
        spec, container = part.pod["spec"], part.container
        assert spec["automountServiceAccountToken"] is False, part
        assert spec["securityContext"]["runAsNonRoot"] is True, part
        assert spec["securityContext"]["runAsUser"] == 10001, part
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, part
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, part
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), part
        assert {kind for each in spec["volumes"] for kind in each if kind != "name"} <= {
            "emptyDir",
            "projected",
        }, part
        # What the product has no use for and would refuse as variables it does not know.
        assert spec["enableServiceLinks"] is False, part
        CHECKED["pods"] += 1


@EVERY
def test_pods_say_what_they_need(name: str) -> None:
    for part in parts(manifests(name)):
        resources = part.container["resources"]
        assert resources["requests"].keys() == {"cpu", "memory"}, part
        assert "memory" in resources["limits"], part


@EVERY
def test_every_process_is_probed_where_it_serves(name: str) -> None:
    processes = [part for part in parts(manifests(name)) if part.is_process]

    for part in processes:
        container = part.container
        [port] = container["ports"]
        assert port["name"] == "metrics"
        assert part.env["PSASTREAM_METRICS_PORT"] == str(port["containerPort"])
        assert part.env["PSASTREAM_METRICS_HOST"] == "0.0.0.0"
        assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
        startup = container["startupProbe"]
        is_stateful = part.component in {"worker", "measures"}
        assert startup["httpGet"]["path"] == ("/readyz" if is_stateful else "/livez"), part
        covered_s = startup["periodSeconds"] * startup["failureThreshold"]
        assert covered_s >= (1800 if is_stateful else 120), part
    assert processes


@EVERY
def test_a_process_is_given_longer_to_stop_than_it_takes(name: str) -> None:
    stop_s = inspect.signature(Worker).parameters["stop_timeout_s"].default

    for part in parts(manifests(name)):
        grace_s = part.pod["spec"]["terminationGracePeriodSeconds"]
        if part.component in {"worker", "measures"}:
            assert grace_s > stop_s + 5, part
        if part.component == "dispatcher":
            assert grace_s > DRAIN_S + 5, part


@EVERY
def test_workers_and_dispatchers_bear_the_names_of_their_pods(name: str) -> None:
    for part in parts(manifests(name)):
        names = {each["name"] for each in part.container["env"] if "valueFrom" in each}
        is_named = part.component in {"worker", "measures", "dispatcher"}
        assert names == ({"PSASTREAM_INSTANCE_ID"} if is_named else set()), part


@EVERY
def test_no_secret_is_in_a_manifest(name: str) -> None:
    found = manifests(name)

    assert of_kind(found, "Secret") == []
    for part in parts(found):
        for variable, value in part.env.items():
            assert not re.search(r"(PASSWORD|TOKEN|SECRET|CLIENT_ID|_KEY)$", variable), part
            assert not re.search(r"://[^/\s]*:[^/\s]*@", value), part
        assert all("secretKeyRef" not in str(each) for each in part.container["env"]), part
        assert "envFrom" not in part.container, part


def _command(words: list[str]) -> None:
    """Let the command line parse words to the end. Raises where it refuses them."""
    found: Any = typer.main.get_command(app)
    name, rest = "psastream", words
    while hasattr(found, "resolve_command"):
        context = found.make_context(name, list(rest), resilient_parsing=True)
        name, found, rest = found.resolve_command(context, list(rest))
    found.make_context(name, list(rest))


def _configuration(container: Container) -> Settings:
    """Have the product read all that a process reads before it starts."""
    ours = {key: text for key, text in container.environment.items() if key.startswith(PREFIX)}
    settings = Settings.from_env(ours)
    read_firm(settings)
    systems = Systems(settings.systems)
    for word in container.arguments:
        _, _, file = word.partition("=")
        if file.endswith("source.json"):
            load_source(Path(file), container.environment, systems)
        elif file.endswith("sink.json"):
            load_sink(Path(file), container.environment, systems)
        elif file.endswith("connector.json"):
            read_connector_file(Path(file))
    return settings


@EVERY
def test_the_product_takes_every_command_line_with_its_files_and_variables(
    name: str, tmp_path: Path
) -> None:
    found = manifests(name)
    started = [part for part in parts(found) if "args" in part.container]

    for number, part in enumerate(started):
        container = container_of(part, found, tmp_path / str(number))
        _command(list(container.arguments))
        settings = _configuration(container)
        assert settings.landscape is not None and settings.landscape.is_file(), part
        CHECKED["command lines taken by the product"] += 1
    # Every source and sink of the firm is somebody's, and the check is given all of them.
    words = {part.component: part.container["args"] for part in started}
    given = [word.partition("=")[2] for word in words["check"] if "=" in word]
    run_by = [
        word.partition("=")[2]
        for part in started
        if part.is_process
        for word in part.container["args"]
        if "=" in word
    ]
    assert sorted(given) == sorted(run_by)


def test_processes_send_spans_where_a_collector_is_named(tmp_path: Path) -> None:
    traces = '{"url": "http://collector:4318", "ratio": 0.002}'
    text = rendered("small", "--set-json", f"traces={traces}")
    found = read(text)
    senders = set()
    for number, part in enumerate(each for each in parts(found) if "args" in each.container):
        settings = _configuration(container_of(part, found, tmp_path / str(number)))
        assert settings.traces_ratio == (0.002 if part.is_process else 0.01)
        senders |= {part.component} if settings.traces_url == "http://collector:4318" else set()
    reaching = {
        policy["metadata"]["labels"]["app.kubernetes.io/component"]
        for policy in of_kind(found, "NetworkPolicy")
        for rule in policy["spec"].get("egress", ())
        if {"protocol": "TCP", "port": 4318} in rule["ports"]
    }

    assert conforms(text) == []
    assert {"worker", "poller", "dispatcher"} == reaching <= senders
    assert "4318" not in rendered("small")


def test_an_authority_and_a_certificate_for_the_read_model_lie_beside_its_address() -> None:
    tls = {"secret": "database-tls", "certificate": "user.crt", "key": "user.key"}
    text = rendered("three-brokers-tls", "--set-json", f"readModel.tls={json.dumps(tls)}")
    found = read(text)

    asking = set()
    for part in parts(found):
        [files] = [it["projected"] for it in part.pod["spec"]["volumes"] if it["name"] == "files"]
        secrets = [it["secret"] for it in files["sources"] if "secret" in it]
        paths = {
            item["path"] for it in secrets if it["name"] == "database-tls" for item in it["items"]
        }
        if paths:
            asking.add(part.component)
            assert paths == {f"read-model/tls/{it}" for it in ("ca.crt", "user.crt", "user.key")}

    assert asking == {"read-model", "step", "check", "toolbox"}
    assert conforms(text) == []


def test_no_port_is_asked_for_where_no_policy_closes_any() -> None:
    rendered("small", "--set", "networkPolicy.enabled=false,kafka.bootstrapServers=kafka:9094")


def test_a_copy_of_a_large_ledger_has_room_in_the_toolbox() -> None:
    found = manifests("small", "--set", "toolbox.storage.size=20Gi")

    [toolbox] = [part for part in parts(found) if part.component == "toolbox"]
    [state] = [it for it in toolbox.pod["spec"]["volumes"] if it["name"] == "state"]
    assert state["emptyDir"] == {"sizeLimit": "20Gi"}


def test_whoever_reads_records_has_the_master_keys_as_a_file(tmp_path: Path) -> None:
    text = rendered("three-brokers-tls", "--set", "encryption.secret=psastream-master-keys")
    found = read(text)
    lacking = set()
    for number, part in enumerate(parts(found)):
        container = container_of(part, found, tmp_path / str(number))
        settings = _configuration(container)
        lacking |= {part.component} if settings.master_keys is None else set()
        assert read_firm(settings).is_sealed == (settings.master_keys is not None), part

    assert lacking == {"connect-watcher"}
    assert conforms(text) == []
    assert "MASTER_KEYS" not in rendered("three-brokers-tls")


def test_systems_of_the_firms_own_are_laid_out_as_folders(tmp_path: Path) -> None:
    mapping = CHART.parents[2] / "connectors" / "vendors" / "harvest"
    folder = {
        str(path.relative_to(mapping)): path
        for path in [
            mapping / "mapping.yaml",
            mapping / "rest.yaml",
            *sorted((mapping / "avro").glob("*.avsc")),
        ]
    }
    keys = [
        word
        for at, path in folder.items()
        for word in ("--set-file", f"folders.crewtime.{at.replace('.', chr(92) + '.')}={path}")
    ]
    found = manifests(
        "small",
        *keys,
        "--set-json",
        'systems.crewtime={"role": "psa", "vendor": "harvest", "secret": "psastream-float",'
        ' "env": {"HARVEST_URL": "https://h", "HARVEST_ACCOUNT_ID": "1"},'
        ' "poll": {"settings": {"name": "crewtime", "topic.prefix": "src.crewtime",'
        ' "auth.token": "${env:FLOAT_TOKEN}"}}}',
    )
    [part] = [each for each in parts(found) if str(each) == "Deployment/psastream-poller-crewtime"]

    container = container_of(part, found, tmp_path)

    laid = {
        str(path.relative_to(tmp_path / "etc/psastream/systems/crewtime"))
        for path in (tmp_path / "etc/psastream/systems/crewtime").rglob("*.*")
    }
    assert laid == set(folder)
    assert container.environment["PSASTREAM_SYSTEMS"].endswith("/etc/psastream/systems/crewtime")


@EVERY
def test_a_changed_file_is_another_pod_of_those_that_read_it(name: str) -> None:
    def checksums(*options: str) -> dict[str, str]:
        return {
            str(part): part.pod["metadata"]["annotations"]["checksum/files"]
            for part in parts(manifests(name, *options))
            if part.component != "check"  # made anew for each run
        }

    before = checksums()
    stage = checksums("--set", "firm.handOffStage=proposal")
    poll = checksums(
        "--set-json", 'systems.netsuite.poll={"settings": {"poll.interval.ms": 60000}}'
    )

    assert all(stage[each] != before[each] for each in before)
    changed = {each for each in before if poll[each] != before[each]}
    assert changed == {
        "Deployment/psastream-poller-netsuite",
        "Deployment/psastream-dispatcher-netsuite",
        "Deployment/psastream-toolbox",
    }


@EVERY
def test_nothing_goes_in_or_out_but_what_is_listed(name: str) -> None:
    found = manifests(name)
    policies = of_kind(found, "NetworkPolicy")
    everything = named(found, "NetworkPolicy", "psastream")["spec"]

    assert everything["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & everything.keys()
    for part in parts(found):
        labels = part.pod["metadata"]["labels"]
        assert everything["podSelector"]["matchLabels"].items() <= labels.items(), part
        mine = [
            each["spec"]
            for each in policies
            if each["spec"] is not everything
            and each["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        ]
        assert len(mine) == 1, part
        ports = {port["port"] for rule in mine[0]["egress"] for port in rule["ports"]}
        assert (443 in ports) == (
            part.component in {"poller", "dispatcher", "toolbox", "check"}
            or (name == "two-regions" and part.component != "connect-watcher")
        ), part  # its registry is on that port, too
        incoming = [port["port"] for rule in mine[0].get("ingress", ()) for port in rule["ports"]]
        assert incoming == ([9101] if part.is_process else []), part
        assert all(rule["from"] for rule in mine[0].get("ingress", ())), part


@EVERY
def test_the_watcher_is_given_the_database_of_every_example(name: str, tmp_path: Path) -> None:
    found = manifests(name)
    [watcher] = [part for part in parts(found) if part.component == "connect-watcher"]

    container = container_of(watcher, found, tmp_path)
    file = read_connector_file(Path(container.arguments[-1].partition("=")[2]))
    ports = [
        port["port"]
        for rule in named(found, "NetworkPolicy", "psastream-connect-watcher")["spec"]["egress"]
        for port in rule["ports"]
    ]

    assert address_of(file, container.environment) == Address(
        "psa-database.firm.example", "5432", "psa", "psastream", "a-token"
    )
    assert 5432 in ports


def test_the_watcher_reaches_a_database_whose_address_it_is_given(tmp_path: Path) -> None:
    to = [{"ipBlock": {"cidr": "10.20.0.7/32"}}]
    inhouse = {
        "env": {
            **{"INHOUSE_PSA_HOST": "psa", "INHOUSE_PSA_PORT": 5432},
            **{"INHOUSE_PSA_DATABASE": "firm", "INHOUSE_PSA_USER": "reader"},
        },
        "secret": "psastream-inhouse",
        "egress": {"ports": [5432], "to": to},
    }
    keys = (f"systems.inhouse.{key}={json.dumps(value)}" for key, value in inhouse.items())
    text = rendered("small", *(word for key in keys for word in ("--set-json", key)))
    found = read(text)
    [watcher] = [part for part in parts(found) if part.component == "connect-watcher"]

    container = container_of(watcher, found, tmp_path)
    file = read_connector_file(Path(container.arguments[-1].partition("=")[2]))
    reaching = {
        policy["metadata"]["labels"]["app.kubernetes.io/component"]
        for policy in of_kind(found, "NetworkPolicy")
        for rule in policy["spec"].get("egress", ())
        if rule == {"ports": [{"protocol": "TCP", "port": 5432}], "to": to}
    }

    assert address_of(file, container.environment) == Address(
        "psa", "5432", "firm", "reader", "a-token"
    )
    assert reaching == {"connect-watcher", "toolbox", "check"}
    assert conforms(text) == []


@EVERY
def test_evictions_and_zones_leave_workers_running(name: str) -> None:
    found = manifests(name)
    budget = named(found, "PodDisruptionBudget", "psastream-worker")["spec"]
    [worker] = [part for part in parts(found) if part.component == "worker"]

    assert budget["maxUnavailable"] == 1
    labels = worker.pod["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    spread = worker.pod["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }
    # A budget over one pod of one would stand in the way of every drain.
    for each in of_kind(found, "PodDisruptionBudget"):
        assert "minAvailable" not in each["spec"]


@EVERY
def test_steps_come_in_order_and_have_files_of_their_own(name: str) -> None:
    found = manifests(name)
    hooks = {
        f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["annotations"]
        for each in found
        if "helm.sh/hook" in each["metadata"].get("annotations", {})
    }
    weights = {each: int(hooks[each].get("helm.sh/hook-weight", 0)) for each in hooks}
    jobs = [each.rpartition("-step-")[2] for each in sorted(weights, key=weights.__getitem__)
            if each.startswith("Job/")]  # fmt: skip

    left_out = {"small": "read-model", "three-brokers-tls": "connectors"}
    assert jobs == [
        each
        for each in ("topics", "schemas", "read-model", "connectors")
        if each != left_out.get(name)
    ]
    for part in parts(found):
        if part.component != "step":
            continue
        used = {f"ServiceAccount/{part.pod['spec']['serviceAccountName']}"}
        for volume in part.pod["spec"]["volumes"]:
            for source in volume.get("projected", {}).get("sources", ()):
                if "configMap" in source:
                    used.add(f"ConfigMap/{source['configMap']['name']}")
        assert used <= hooks.keys(), part
        assert all(weights[each] < weights[str(part)] for each in used), part


def test_connectors_that_strimzi_keeps_are_written_by_nobody_here(tmp_path: Path) -> None:
    """And asked about by all who asked, the alerts on them included."""
    [theirs, ours] = [
        rendered("three-brokers-tls", "--set", f"connect.connectorOwner={owner}")
        for owner in ("strimzi", "psastream")
    ]
    connect = {"protocol": "TCP", "port": 8083}

    def writing(text: str) -> set[str]:
        """Whoever calls `apply`, holds a connector file for it, or has a way to Connect for it."""
        found = [
            each for each in read(text)
            if each["metadata"]["labels"]["app.kubernetes.io/component"] == "step"
        ]  # fmt: skip
        words = ("connectors", "connector.json", str(connect), "PSASTREAM_CONNECT_URL")
        return {word for each in found for word in words if word in str(each)}

    assert len(writing(ours)) == 4
    assert writing(theirs) == set()
    owners = {}
    for number, part in enumerate(parts(read(theirs))):
        container = container_of(part, read(theirs), tmp_path / str(number))
        if (settings := _configuration(container)).connect is not None:
            owners[part.component] = settings.connector_owner
    assert owners == dict.fromkeys(("connect-watcher", "check", "toolbox"), "strimzi")
    reaching = {
        policy["metadata"]["labels"]["app.kubernetes.io/component"]
        for policy in of_kind(read(theirs), "NetworkPolicy")
        for rule in policy["spec"].get("egress", ())
        if connect in rule["ports"]
    }
    assert reaching == set(owners)
    rules = [of_kind(read(text), "PrometheusRule") for text in (theirs, ours)]
    assert rules[0] == rules[1] != []
    assert conforms(theirs) == []


def strimzis(tmp_path: Path, *options: str, words: Sequence[str] = ()) -> list[Manifest]:
    """Return what `deploy.strimzi` makes, with `words`, for the release with three brokers."""
    file = tmp_path / "rendered.yaml"
    file.write_text(rendered("three-brokers-tls", *options))
    out = tmp_path / "strimzi"
    command = (sys.executable, "-m", "deploy.strimzi", "--release", file, "--cluster", "firm")
    said = run([*command, *words, "--out", out])
    assert said.code == 0, said.errors
    return [each for path in sorted(out.glob("*.yaml")) for each in read(path.read_text())]


def test_strimzi_makes_for_a_release_what_its_pods_need(tmp_path: Path) -> None:
    """Their users, with their rights, their topics, their copies, their Connect."""
    found = manifests("three-brokers-tls")
    registry = ("--registry-ca-secret", "registry-ca", "--registry-user-secret", "registry-user")
    made = strimzis(tmp_path, words=registry)

    users = {part.env.get("PSASTREAM_KAFKA_SASL_USERNAME") for part in parts(found)} - {None}
    assert users and users <= {each["metadata"]["name"] for each in of_kind(made, "KafkaUser")}
    topics = {each["metadata"]["name"] for each in of_kind(made, "KafkaTopic")}
    assert "psa.command.business-central" in topics
    assert [each for each in topics if each.startswith("src.hubspot.")]
    assert "psa.metric.project-days" in topics, "of the firm's own measure"
    assert not {each for each in topics if "salesforce" in each}
    [connect] = of_kind(made, "KafkaConnect")
    [part] = [part for part in parts(found) if part.component == "connect-watcher"]
    service = f"{connect['metadata']['name']}-connect-api"
    assert part.env["PSASTREAM_CONNECT_URL"] == f"http://{service}.kafka.svc:8083"
    assert connect["spec"]["bootstrapServers"] == "firm-kafka-bootstrap.kafka.svc:9093"
    [trusted] = connect["spec"]["tls"]["trustedCertificates"]
    assert trusted["secretName"] == "firm-cluster-ca-cert"
    assert conforms("---\n".join(map(json.dumps, made)), tools.strimzi_schemas()) == []


@pytest.mark.parametrize(("owner", "names"), [("strimzi", ["psa-of-ours"]), ("psastream", [])])
def test_strimzi_makes_the_connectors_of_a_release_where_it_keeps_them(
    owner: str, names: list[str], tmp_path: Path
) -> None:
    options = (
        *("--set", f"connect.connectorOwner={owner}"),
        *("--set", "systems.inhouse.capture.settings.name=psa-of-ours"),
    )
    plain = ("--registry-url", "http://registry:8081")
    connectors = of_kind(strimzis(tmp_path, *options, words=plain), "KafkaConnector")

    assert [each["metadata"]["name"] for each in connectors] == names


def test_the_page_copies_the_secret_of_every_user() -> None:
    page = (CHART.parents[2] / "docs" / "kubernetes.md").read_text()
    [names] = re.findall(r"for name in (.*?); do", page, re.DOTALL)

    assert sorted(names.replace("\\", " ").split()) == sorted(
        ["firm-cluster-ca-cert", *(f"psastream-{user}" for user in KAFKA_USERS)]
    )


def test_alert_rules_are_those_of_the_product_for_what_the_release_runs() -> None:
    """Apart from what is missed they differ in the namespace alone."""
    source = [
        group
        for path in sorted((CHART.parents[1] / "prometheus" / "rules").glob("*.rules.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    whole = named(manifests("three-brokers-tls"), "PrometheusRule", "psastream")["spec"]["groups"]
    down = {"PsastreamProcessDown", "PsastreamReadModelDown"}

    def exprs(groups: list[Manifest]) -> list[str]:
        rules = [rule for group in groups for rule in group["rules"]]
        return [rule["expr"] for rule in rules if rule.get("alert") not in down]

    def rest(groups: list[Manifest]) -> list[Manifest]:
        rules = [{**rule, "group": group["name"]} for group in groups for rule in group["rules"]]
        return [{key: value for key, value in rule.items() if key != "expr"} for rule in rules]

    assert rest(whole) == rest(source)
    mine = re.compile(r'\{namespace="psastream"(?:, |(\}))')
    unscoped = [mine.sub(lambda it: "" if it[1] else "{", expr) for expr in exprs(whole)]
    assert unscoped == exprs(source)
    CHECKED["alerts and recording rules"] += sum(len(group["rules"]) for group in whole)


def test_scrapes_name_jobs_as_the_rules_do() -> None:
    found = manifests("three-brokers-tls")
    [endpoint] = named(found, "PodMonitor", "psastream")["spec"]["podMetricsEndpoints"]
    relabeling, _ = endpoint["relabelings"]
    rules = str(named(found, "PrometheusRule", "psastream"))
    components = {part.component for part in parts(found) if part.is_process}

    assert relabeling["targetLabel"] == "job"
    jobs = {relabeling["replacement"].replace("$1", each) for each in components}
    asked = set(re.findall(r'job!?="(psastream-[\w-]+)"', rules))
    assert asked and asked <= jobs


@EVERY
def test_a_region_that_stands_by_runs_nothing_and_changes_nothing(name: str) -> None:
    found = manifests(name, "--set", "standby=true")

    for part in parts(found):
        assert part.component in {"check"} or part.owner["spec"]["replicas"] == 0, part
    assert of_kind(found, "Job", "PodMonitor", "PrometheusRule", "ScaledObject") == []
    # Who takes over must bear the names of who is lost.
    active = {str(part) for part in parts(manifests(name)) if part.component == "worker"}
    assert active <= {str(part) for part in parts(found)}


def test_workers_are_no_more_than_partitions() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())["properties"]
    workers = schema["workers"]["properties"]

    assert workers["replicas"]["maximum"] == PARTITIONS
    assert workers["scaling"]["properties"]["maxReplicas"]["maximum"] == PARTITIONS


def test_every_role_may_be_named() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())["properties"]
    [system] = schema["systems"]["patternProperties"].values()

    assert system["properties"]["role"]["enum"] == [role.value for role in Role]


def test_every_value_has_a_rule() -> None:
    """A value that the schema does not know is refused, so defaults must all be in it, deep."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def walk(rule: Any, value: Any, at: str) -> None:
        if isinstance(value, dict) and "properties" in rule:
            assert rule["additionalProperties"] is False, at
            assert value.keys() <= rule["properties"].keys(), at
            for key, inner in value.items():
                walk(rule["properties"][key], inner, f"{at}.{key}")

    walk(schema, values, "values")


def _all_parts() -> list[Part]:
    return [part for name in VALUES for part in parts(manifests(name))]


def test_images_are_named_with_the_version_or_a_digest() -> None:
    digest = "sha256:" + "0" * 64
    pinned = parts(manifests("small", "--set", f"image.digest={digest},image.tag="))

    assert {part.container["image"] for part in pinned} == {
        f"registry.firm.example/psastream:{product_version()}@{digest}"
    }
    assert all(not part.container["image"].endswith(":latest") for part in _all_parts())


def test_the_toolbox_signs_in_as_whom_its_values_say() -> None:
    """By default as who asks and decides; to compute state anew takes another user."""
    for options, user in (
        ((), "psastream-operator"),
        (("--set", "toolbox.kafkaUser=maintainer"), "psastream-maintainer"),
        (("--set", "toolbox.kafkaUser=custodian"), "psastream-custodian"),
    ):
        [toolbox] = [
            each
            for each in parts(manifests("three-brokers-tls", *options))
            if each.component == "toolbox"
        ]
        assert user in json.dumps(toolbox.pod["spec"]["volumes"])


def test_a_crm_that_takes_status_is_told_to_the_product_and_written_to() -> None:
    settings = {"name": "hubspot-sink", "target": "hubspot"}
    system = {"role": "crm", "takesStatus": True, "poll": {}, "secret": "s"}
    system["dispatch"] = {"settings": settings}
    found = manifests("small", "--set-json", f"systems.hubspot={json.dumps(system)}")
    text = named(found, "ConfigMap", "psastream-landscape")["data"]["landscape.yaml"]
    assert load_landscape(text).takers(Role.CRM) == ["hubspot"]
    written = [part.owner["metadata"]["name"] for part in parts(found)]
    assert "psastream-dispatcher-hubspot" in written


def test_a_psa_that_takes_projects_is_told_to_the_product_and_written_to() -> None:
    system = {"role": "psa", "takesProjects": True, "poll": {}, "dispatch": {}, "secret": "s"}
    found = manifests("small", "--set-json", f"systems.kantata={json.dumps(system)}")
    text = named(found, "ConfigMap", "psastream-landscape")["data"]["landscape.yaml"]
    assert load_landscape(text).takers(Role.PSA) == ["kantata"]
    written = [part.owner["metadata"]["name"] for part in parts(found)]
    assert "psastream-dispatcher-kantata" in written
