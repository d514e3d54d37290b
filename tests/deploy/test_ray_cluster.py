"""Ray's cluster launcher and AWS take the files in ``deploy/ray`` as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import botocore.session
import botocore.validate
import pytest
import yaml

pytest.importorskip("ray", reason="the cluster extra brings Ray, and Ray the schema of its clusters")


@pytest.fixture
def cluster(repo_root: Path) -> Any:
    return yaml.safe_load((repo_root / "deploy" / "ray" / "cluster.yaml").read_text(encoding="utf-8"))


def check(cluster: Any) -> None:
    """Do what ``ray up`` does with a file before it asks AWS for anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster))


def test_it_fits_the_schema_of_ray(cluster: Any) -> None:
    check(cluster)


def test_that_schema_refuses_what_ray_refuses(cluster: Any) -> None:
    import jsonschema

    cluster["setup_command"] = cluster.pop("setup_commands")
    with pytest.raises(jsonschema.ValidationError, match="setup_command"):
        check(cluster)


def test_aws_knows_what_the_machines_are_asked_to_be(cluster: Any) -> None:
    client = botocore.session.get_session().get_service_model("ec2")
    request = client.operation_model("RunInstances").input_shape
    for kind in cluster["available_node_types"].values():
        machine = {**kind["node_config"], "MinCount": 1, "MaxCount": 1}
        found = botocore.validate.ParamValidator().validate(machine, request)
        assert not found.has_errors(), found.generate_report()
        assert kind["node_config"]["InstanceType"] in request.members["InstanceType"].enum


def test_instance_types_in_comments_exist_too(repo_root: Path) -> None:
    text = (repo_root / "deploy" / "ray" / "cluster.yaml").read_text(encoding="utf-8")
    client = botocore.session.get_session().get_service_model("ec2")
    known = client.operation_model("RunInstances").input_shape.members["InstanceType"].enum
    named = re.findall(r"InstanceType: (\S+)", text)
    assert len(named) == 3
    assert set(named) <= set(known)


def test_there_is_a_ray_worker_for_each_cpu_and_none_on_the_head(repo_root: Path, cluster: Any) -> None:
    types = pytest.importorskip("moto.ec2.models.instance_types").INSTANCE_TYPES
    worker = cluster["available_node_types"]["worker"]
    cpus = types[worker["node_config"]["InstanceType"]]["VCpuInfo"]["DefaultVCpus"]
    assert worker["max_workers"] == cluster["max_workers"]
    workers = f"--engine ray --address auto --workers {cpus * worker['max_workers']}"
    assert workers in (repo_root / "deploy" / "ray" / "cluster.yaml").read_text(encoding="utf-8")
    assert workers in (repo_root / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
    assert cluster["available_node_types"][cluster["head_node_type"]]["resources"] == {"CPU": 0}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_roles_are_a_template_of_cloudformation_and_have_the_profiles_that_machines_name(
    repo_root: Path, cluster: Any
) -> None:
    cfnlint = pytest.importorskip("cfnlint.api")
    text = (repo_root / "deploy" / "ray" / "roles.yaml").read_text(encoding="utf-8")
    assert cfnlint.lint(text) == []
    machines = cluster["available_node_types"].values()
    profiles = [machine["node_config"]["IamInstanceProfile"]["Name"] for machine in machines]
    assert re.findall(r"InstanceProfileName: (\S+)", text) == sorted(profiles, reverse=True)
