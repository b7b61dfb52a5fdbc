"""Values that are wrong are refused before anything is sent to a cluster, with the key and the
reason; manifests that are wrong are found by their schemas."""

import json

import pytest

from tests.deploy.chart import CHECKED, VALUES, conforms, helm_template, rendered

BROKEN = {
    # What is asked of Kafka, registry and Connect.
    "no brokers": ('kafka.bootstrapServers=""', "/kafka/bootstrapServers"),
    "a broker without a port": ('kafka.bootstrapServers="kafka"', "does not match pattern"),
    "brokers as a URL": ('kafka.bootstrapServers="http://kafka:9092"', "/kafka/bootstrapServers"),
    "a typo in a key": ('kafka.bootstrapServer="kafka:9092"', "'bootstrapServer' not allowed"),
    "no copies": ("kafka.replicationFactor=0", "/kafka/replicationFactor"),
    "copies as text": ('kafka.replicationFactor="3"', "want integer"),
    "a password among options": (
        'kafka.options={"sasl.password": "hunter2"}',
        "/kafka/options",
    ),
    "a user among options": ('kafka.options={"sasl.username": "u"}', "/kafka/options"),
    "an option in capitals": ('kafka.options={"SECURITY_PROTOCOL": "SSL"}', "/kafka/options"),
    "brokers among options": (
        'kafka.options={"bootstrap.servers": "kafka:9092"}',
        "/kafka/options",
    ),
    "a user without SASL": (
        'kafka.username="u",kafka.secret="s"',
        "security.protocol is PLAINTEXT; set it to SASL_SSL",
    ),
    "SASL without a user": (
        'kafka.options={"security.protocol": "SASL_SSL"}',
        "security.protocol is SASL_SSL; name username and secret, or users",
    ),
    "users and a user": (
        'kafka.users="strimzi",kafka.username="u",kafka.secret="s",'
        'kafka.options={"security.protocol": "SASL_SSL"}',
        "each process has its own",
    ),
    "users in plain text": ('kafka.users="strimzi"', "users sign in by SASL_SSL or SSL"),
    "users of nobody we know": ('kafka.users="confluent"', "/kafka/users"),
    "TLS in plain text": ('kafka.tls.secret="ca"', "set it to SSL or SASL_SSL"),
    "a certificate without its key": (
        'kafka.options={"security.protocol": "SSL"},'
        'kafka.tls.secret="ca",kafka.tls.certificate="tls.crt"',
        "certificate and key belong together",
    ),
    "no registry": ('registry.url=""', "/registry/url"),
    "a registry without http": ('registry.url="registry:8081"', "/registry/url"),
    "a password in an address": ('registry.url="http://u:p@registry:8081"', "/registry/url"),
    "a registry's user without a password": (
        'registry.username="u"',
        "registry: username and secret belong together",
    ),
    "no Connect for a database": (
        'connect.url=""',
        "systems.inhouse.capture: name Kafka Connect",
    ),
    "connectors of nobody we know": ('connect.connectorOwner="helm"', "/connect/connectorOwner"),
    "a password for Strimzi's Connect": (
        'connect.connectorOwner="strimzi"',
        "it asks for no password; leave username and secret out",
    ),
    "a connector that Strimzi would call otherwise": (
        'connect.connectorOwner="strimzi",connect.username="",connect.secret="",'
        'systems.inhouse.capture.settings={"name": "Inhouse_PSA"}',
        "a KafkaConnector cannot be called Inhouse_PSA",
    ),
    "an owner among Debezium's keys": (
        'systems.inhouse.capture.settings={"psastream.connector.owner": "strimzi"}',
        "/systems/inhouse/capture/settings",
    ),
    # The systems of the firm.
    "no systems": ("systems=null", "missing property 'systems'"),
    "an unknown role": ('systems.float.role="staffing"', "/systems/float/role"),
    "a system without a role": ('systems.crm={"poll": {}}', "'role'"),
    "a name with a hyphen": ('systems.in-house={"role": "psa", "capture": {}}', "/systems"),
    "a name that is too long": (
        f'systems.{"a" * 30}={{"role": "psa", "capture": {{}}}}',
        "not allowed",
    ),
    "a system that nothing reads": (
        'systems.hr={"role": "psa"}',
        "systems.hr: nothing reads it",
    ),
    "a vendor without a file": (
        'systems.workday={"role": "psa", "poll": {}, "secret": "s"}',
        "psastream has no source.json of workday; write its keys under settings, name among them",
    ),
    "a connector without a name": (
        'systems.worklog={"role": "psa", "capture": {"settings": {"topic.prefix": "src"}}}',
        "systems.worklog.capture.settings: name is missing",
    ),
    "a target that takes no commands": (
        'systems.salesforce.dispatch={"settings": {"name": "x"}}',
        "no commands go to the role crm",
    ),
    "an ERP without a dispatcher": (
        'systems.sage={"role": "erp", "vendor": "harvest", "poll": {}, "secret": "s"}',
        "commands go to the role erp; add dispatch",
    ),
    "two resource tools": (
        'systems.float_eu={"role": "resource", "vendor": "float", "poll": {}, "dispatch": {},'
        ' "secret": "s"}',
        "one resource tool at most",
    ),
    "legal entities of a PSA": (
        'systems.inhouse.legalEntities=["CH01"]',
        "only an erp bills for legal entities",
    ),
    "projects for an ERP to take": (
        "systems.netsuite.takesProjects=true",
        "it is said of a psa",
    ),
    "status for an ERP to take": (
        "systems.netsuite.takesStatus=true",
        "it is said of a crm",
    ),
    "a CRM that takes status and is not written": (
        'systems.hubspot={"role": "crm", "takesStatus": true, "poll": {}, "secret": "s"}',
        "commands go to the role crm; add dispatch",
    ),
    "a PSA that takes projects and is not written": (
        'systems.kantata={"role": "psa", "takesProjects": true, "poll": {}, "secret": "s"}',
        "commands go to the role psa; add dispatch",
    ),
    "a variable that nobody gives": (
        'systems.harvest={"role": "psa", "poll": {}}',
        "its poll file names HARVEST_TOKEN; give it by env, or by a secret",
    ),
    "a token in plain text": (
        'systems.float.env.FLOAT_TOKEN="abc"',
        "/systems/float/env",
    ),
    "a variable of psastream's own": (
        'systems.float.env.PSASTREAM_DATA_DIR="/x"',
        "/systems/float/env",
    ),
    "a password within a variable": (
        'systems.float.env.FLOAT_URL="https://u:p@api.float.com"',
        "/systems/float/env/FLOAT_URL",
    ),
    "a token in a connector file": (
        'systems.float.poll.settings={"auth.token": "abc"}',
        "/systems/float/poll/settings",
    ),
    "a password in Debezium's file": (
        'systems.inhouse.capture.settings={"database.password": "abc"}',
        "/systems/inhouse/capture/settings",
    ),
    "a secret that is no name": ('systems.float.secret="My Secret"', "/systems/float/secret"),
    "a folder of no system": (
        'folders.worklog={"mapping.yaml": "x"}',
        "folders.worklog: no system bears this name",
    ),
    "a folder without a mapping": ('folders.worklog={"rest.yaml": "x"}', "'mapping.yaml'"),
    "a folder that climbs out": (
        'folders.worklog={"mapping.yaml": "x", "../x": "y"}',
        "/folders/worklog",
    ),
    "a connector file in a folder": (
        'systems.worklog={"role": "psa", "poll": {"settings": {"name": "w"}}, "secret": "s"},'
        'folders.worklog={"mapping.yaml": "x", "connector.json": "{}"}',
        "the chart makes connector.json of systems.worklog.capture.settings",
    ),
    "a source file in a folder": (
        'systems.worklog={"role": "psa", "poll": {"settings": {"name": "w"}}, "secret": "s"},'
        'folders.worklog={"mapping.yaml": "x", "source.json": "{}"}',
        "the chart makes source.json of systems.worklog.poll.settings",
    ),
    # Processes.
    "no worker": ("workers.replicas=0", "/workers/replicas"),
    "more workers than partitions": ("workers.replicas=5", "/workers/replicas"),
    "a grace below a chunk": ("workers.terminationGracePeriodSeconds=5", "GracePeriodSeconds"),
    "a dispatcher cut off": ("dispatcher.terminationGracePeriodSeconds=10", "GracePeriodSeconds"),
    "no time to recover": ("workers.startupSeconds=10", "/workers/startupSeconds"),
    "no memory limit": ('workers.resources.limits.memory=""', "/workers/resources/limits"),
    "memory without a unit": ('poller.resources.requests.memory="256"', "/poller/resources"),
    "storage in megabytes": ('workers.storage.size="500Mi"', "/workers/storage/size"),
    "a measure that is no SQL": ('measures.files={"x.txt": "SELECT"}', "/measures/files"),
    "a read model without a database": ("readModel.enabled=true", "readModel: name a secret"),
    # Scaling that would flap, or that nothing could follow.
    "fewer at most than at least": (
        'workers.scaling.mode="hpa",workers.scaling.minReplicas=3,workers.scaling.maxReplicas=2',
        "minReplicas is 3 and maxReplicas 2",
    ),
    "keda without Prometheus": ('workers.scaling.mode="keda"', "name its prometheusAddress"),
    "scaling by nobody": ('workers.scaling.mode="vpa"', "/workers/scaling/mode"),
    "down within a minute": (
        "workers.scaling.downStabilizationSeconds=60",
        "/workers/scaling/downStabilizationSeconds",
    ),
    "up at once": ("workers.scaling.upStabilizationSeconds=0", "/workers/scaling"),
    # Image, pods, network.
    "the latest image": ('image.tag="latest"', "/image/tag"),
    "a digest that is none": ('image.digest="sha256:abc"', "/image/digest"),
    "a port of the system's": ("metrics.port=80", "/metrics/port"),
    "a level that is none": ('log.level="TRACE"', "/log/level"),
    "no name server": ("networkPolicy.dns.to=[]", "/networkPolicy/dns/to"),
    "a peer that is none": ('networkPolicy.kafka.to=[{"service": "kafka"}]', "/networkPolicy"),
    "a port that is none": ("networkPolicy.kafka.ports=[70000]", "/networkPolicy/kafka/ports"),
    "brokers behind a closed port": (
        'kafka.bootstrapServers="a:9092,b:9094"',
        "networkPolicy.kafka.ports: kafka.bootstrapServers has b:9094, and port 9094 is not among",
    ),
    "a registry behind a closed port": (
        'registry.url="https://registry/api"',
        "networkPolicy.registry.ports: registry.url has https://registry/api, and port 443 is not",
    ),
    "Connect behind a closed port": (
        'connect.url="http://connect:18083/"',
        "networkPolicy.connect.ports: connect.url has http://connect:18083/, and port 18083 is",
    ),
    "a collector behind a closed port": (
        'traces.url="http://collector:4317"',
        "networkPolicy.collector.ports: traces.url has http://collector:4317, and port 4317 is",
    ),
    "a toolbox without a disk": ('toolbox.storage.size="0"', "/toolbox/storage/size"),
    "spread as one likes": ('topologySpread.zone="Always"', "/topologySpread/zone"),
    "a key that is none": ("worker.replicas=2", "'worker' not allowed"),
    "a switch as text": ('standby="no"', "/standby"),
}

TYPOS = {
    "terminationGracePeriodSeconds: 60": "terminationGracePeriodSecond: 60",
    "readOnlyRootFilesystem: true": "readonlyRootFilesystem: true",
    "whenUnsatisfiable: ScheduleAnyway": "whenUnsatisfiable: [ScheduleAnyway]",
    "failureThreshold: 360": 'failureThreshold: "many"',
    "maxUnavailable: 1": "maxUnavaliable: 1",
    "policyTypes: [Ingress, Egress]": "policyTypes: Ingress",
    "podManagementPolicy: Parallel": "podManagmentPolicy: Parallel",
    "path: /metrics": "paths: /metrics",
    "targetLabel: job": "target_label: job",
    "minReplicaCount: 2": "minReplicas: 2",
}
"""What the rendered chart has, and how somebody could write it."""


def test_there_are_enough_of_them() -> None:
    assert len(BROKEN) >= 40


@pytest.mark.parametrize("what", BROKEN)
def test_broken_values_are_refused_with_their_key_and_the_reason(what: str) -> None:
    broken, reason = BROKEN[what]

    said = helm_template(VALUES["small"], "--set-json", broken)

    assert said.code != 0
    assert reason in said.errors, said.errors
    CHECKED["broken values refused"] += 1


@pytest.mark.parametrize("right", TYPOS)
def test_a_typo_in_a_manifest_is_found_by_its_schema(right: str) -> None:
    text = rendered("three-brokers-tls")
    assert right in text

    found = conforms(text.replace(right, TYPOS[right], 1))

    assert len(found) == 1, json.dumps(found, indent=1)
    CHECKED["typos found"] += 1
