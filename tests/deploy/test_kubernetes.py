"""Kubernetes takes the Indexed Job and the RayJob as they are: every field exists, and the numbers fit together."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

KUBERNETES = "1.33"
"""The first release with ``backoffLimitPerIndex`` switched on for good."""


@pytest.fixture
def job(repo_root: Path) -> Any:
    return yaml.safe_load((repo_root / "deploy" / "kubernetes" / "indexed-job.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def ray_job(repo_root: Path) -> Any:
    return yaml.safe_load((repo_root / "deploy" / "ray" / "rayjob.yaml").read_text(encoding="utf-8"))


def check(resource: Any) -> None:
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def check_ray_job(resource: Any) -> None:
    schema = json.loads((Path(__file__).parent / "rayjob.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(resource, schema)
    for template in templates(resource):
        check({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "any"}, "template": template})


def templates(ray_job: Any) -> Iterator[Any]:
    cluster = ray_job["spec"]["rayClusterSpec"]
    yield from (group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]))


def test_the_indexed_job_fits_the_schema_of_kubernetes(job: Any) -> None:
    check(job)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(completionModes=spec.pop("completionMode")),
        lambda spec: spec.update(completions="16"),
        lambda spec: spec["template"]["spec"]["containers"][0].pop("name"),
        lambda spec: spec["template"]["spec"]["containers"][0]["resources"].update(limit={}),
    ],
)
def test_the_schema_refuses_what_kubernetes_refuses(job: Any, spoil: Callable[[Any], None]) -> None:
    spoil(job["spec"])
    with pytest.raises(kubernetes_validate.ValidationError):
        check(job)


def test_each_pod_is_told_how_many_shards_there_are(job: Any) -> None:
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert {one["name"]: one["value"] for one in container["env"]} == {"JOB_COMPLETIONS": str(spec["completions"])}
    assert spec["completionMode"] == "Indexed"


def test_what_the_api_server_asks_for_beyond_the_schema(job: Any) -> None:
    spec = job["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # of backoffLimitPerIndex and podFailurePolicy
    (container,) = spec["template"]["spec"]["containers"]
    named = [
        rule["onExitCodes"]["containerName"] for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule
    ]
    assert set(named) == {container["name"]}


def test_pods_have_no_more_privileges_than_they_need(job: Any) -> None:
    pod = job["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    (container,) = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_the_ray_job_fits_the_schemas_of_kuberay_and_kubernetes(ray_job: Any) -> None:
    check_ray_job(ray_job)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(entryPoint=spec.pop("entrypoint")),
        lambda spec: spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        lambda spec: spec["rayClusterSpec"]["workerGroupSpecs"][0].update(replica=1),
        lambda spec: spec["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"].update(container=[]),
    ],
)
def test_those_schemas_refuse_what_kuberay_refuses(ray_job: Any, spoil: Callable[[Any], None]) -> None:
    spoil(ray_job["spec"])
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check_ray_job(ray_job)


def test_the_ray_job_has_a_worker_for_each_cpu_and_none_on_the_head(ray_job: Any) -> None:
    cluster = ray_job["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    cpus = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
    assert f" --workers {cpus * group['replicas']} " in ray_job["spec"]["entrypoint"]
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}


def test_both_take_image_and_credentials_from_the_same_places(job: Any, ray_job: Any) -> None:
    pods = [job["spec"]["template"], *templates(ray_job)]
    containers = [container for pod in pods for container in pod["spec"]["containers"]]
    assert len(containers) == 3
    assert len({container["image"] for container in containers}) == 1
    assert len({json.dumps(container["envFrom"]) for container in containers}) == 1


def test_a_machine_may_not_take_more_than_it_asks_for(job: Any, ray_job: Any) -> None:
    for pod in (job["spec"]["template"], *templates(ray_job)):
        resources = copy.deepcopy(pod["spec"]["containers"][0]["resources"])
        assert resources["requests"] == resources["limits"]
