"""The stack that runs the fleet: network, Redis, services."""

import json

import pytest

from bridge.errors import SettingsError
from bridge.infra.ecs import ecs
from bridge.infra.fleet import Fleet
from bridge.metrics.scaling import MOST

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/worker:1.0"
FLEET = Fleet.of(["a", "b"], image=IMAGE)
MADE = ecs(FLEET)
RESOURCES = MADE["Resources"]
EXISTING = ecs(Fleet.of(["a", "b"], image=IMAGE, existing_vpc=True))
PROCESSES = ("Poller", "Worker", "Beat", "Flower")


def of_type(kind, template=MADE):
    return {k: v["Properties"] for k, v in template["Resources"].items() if v["Type"] == kind}


def container(process):
    (only,) = RESOURCES[f"{process}Task"]["Properties"]["ContainerDefinitions"]
    return only


class TestNetwork:
    def test_there_is_no_way_to_the_internet(self):
        kinds = {resource["Type"] for resource in RESOURCES.values()}
        assert not kinds & {
            "AWS::EC2::InternetGateway",
            "AWS::EC2::NatGateway",
            "AWS::EC2::Route",
            "AWS::EC2::EIP",
        }
        assert "0.0.0.0/0" not in json.dumps(MADE)
        assert not any(
            subnet["MapPublicIpOnLaunch"] for subnet in of_type("AWS::EC2::Subnet").values()
        )

    def test_the_endpoints_are_there(self):
        services = {
            each["ServiceName"]["Fn::Sub"].removeprefix("com.amazonaws.${AWS::Region}.")
            for each in of_type("AWS::EC2::VPCEndpoint").values()
        }
        assert services == {
            "states",
            "logs",
            "ecr.api",
            "ecr.dkr",
            "s3",
            "secretsmanager",
        }

    def test_redis_lets_in_tasks_on_its_port_only(self):
        rules = [
            rule
            for rule in of_type("AWS::EC2::SecurityGroupIngress").values()
            if rule["GroupId"] == {"Fn::GetAtt": ["RedisGroup", "GroupId"]}
        ]
        assert {(rule["FromPort"], rule["ToPort"]) for rule in rules} == {(6379, 6379)}
        sources = {rule["SourceSecurityGroupId"]["Fn::GetAtt"][0] for rule in rules}
        assert sources == {"PollerGroup", "WorkerGroup", "FlowerGroup"}

    def test_every_door_names_the_group_it_is_for(self):
        for rule in of_type("AWS::EC2::SecurityGroupIngress").values():
            assert "SourceSecurityGroupId" in rule
            assert rule["FromPort"] == rule["ToPort"]

    def test_tasks_go_to_redis_endpoints_and_image_layers_only(self):
        for name, group in of_type("AWS::EC2::SecurityGroup").items():
            for rule in group["SecurityGroupEgress"]:
                if name in ("PollerGroup", "WorkerGroup", "FlowerGroup"):
                    assert rule["FromPort"] in (6379, 443)
                    assert "CidrIp" not in rule
                else:
                    assert rule["CidrIp"] == "127.0.0.1/32"

    def test_workers_cannot_reach_step_functions(self):
        callers = {"Fn::GetAtt": ["CallerEndpointGroup", "GroupId"]}
        assert of_type("AWS::EC2::VPCEndpoint")["StatesEndpoint"]["SecurityGroupIds"] == [callers]
        for rule in of_type("AWS::EC2::SecurityGroupIngress").values():
            if rule["GroupId"] == callers:
                assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": ["PollerGroup", "GroupId"]}

    def test_step_functions_endpoint_serves_these_activities_only(self):
        policy = of_type("AWS::EC2::VPCEndpoint")["StatesEndpoint"]["PolicyDocument"]
        claim = policy["Statement"][0]
        assert claim["Action"] == "states:GetActivityTask"
        assert claim["Resource"] == [activity.arn for activity in FLEET.activities]

    def test_an_existing_vpc_comes_as_parameters(self):
        assert not of_type("AWS::EC2::VPC", EXISTING)
        assert not of_type("AWS::EC2::Subnet", EXISTING)
        assert {"VpcId", "SubnetIds", "EndpointsGroup"} <= set(EXISTING["Parameters"])

    def test_an_existing_vpc_is_not_bound_by_our_endpoint_policies(self):
        for endpoint in of_type("AWS::EC2::VPCEndpoint", EXISTING).values():
            assert "PolicyDocument" not in endpoint


class TestRedis:
    REDIS = RESOURCES["Redis"]["Properties"]

    def test_it_survives_a_zone(self):
        assert self.REDIS["MultiAZEnabled"]
        assert self.REDIS["AutomaticFailoverEnabled"]
        assert self.REDIS["ReplicasPerNodeGroup"] >= 1

    def test_it_is_encrypted_and_has_a_password(self):
        assert self.REDIS["TransitEncryptionEnabled"]
        assert self.REDIS["AtRestEncryptionEnabled"]
        assert "resolve:secretsmanager:${RedisToken}" in self.REDIS["AuthToken"]["Fn::Sub"]

    def test_its_password_fits_into_a_url_and_elasticache(self):
        token = RESOURCES["RedisToken"]["Properties"]["GenerateSecretString"]
        assert token["ExcludePunctuation"]
        assert 16 <= token["PasswordLength"] <= 128

    def test_it_evicts_nothing(self):
        group = RESOURCES["RedisParameters"]["Properties"]["Properties"]
        assert group == {"maxmemory-policy": "noeviction"}

    def test_it_says_that_there_is_no_append_only_file(self):
        assert "AOF" in RESOURCES["Redis"]["Metadata"]["Durability"]
        assert "AOF" in MADE["Metadata"]["Redis"]["Durability"]

    def test_its_url_is_one_that_kombu_and_redis_py_verify(self):
        import redis
        from kombu.utils.url import parse_url

        text = RESOURCES["BrokerUrl"]["Properties"]["SecretString"]["Fn::Sub"]
        url = text.replace("{{resolve:secretsmanager:${RedisToken}}}", "aB3").replace(
            "${Redis.PrimaryEndPoint.Address}", "redis.example"
        )
        parsed = parse_url(url)
        assert (parsed["hostname"], parsed["port"], parsed["password"]) == (
            "redis.example",
            6379,
            "aB3",
        )
        assert parsed["ssl"]["ssl_cert_reqs"].name == "CERT_REQUIRED"
        pool = redis.ConnectionPool.from_url(url)
        assert pool.connection_kwargs["ssl_cert_reqs"] == "required"


class TestTasks:
    @pytest.mark.parametrize("process", PROCESSES)
    def test_containers_are_locked_down(self, process):
        only = container(process)
        assert only["User"] == "1000"
        assert only["ReadonlyRootFilesystem"]
        assert only["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert "Privileged" not in only

    @pytest.mark.parametrize("process", PROCESSES)
    def test_passwords_come_from_secrets(self, process):
        only = container(process)
        assert {"Name": "CELERY_BROKER_URL", "ValueFrom": {"Ref": "BrokerUrl"}} in only["Secrets"]
        assert "resolve:" not in json.dumps(only)

    @pytest.mark.parametrize("process", PROCESSES)
    def test_logs_are_kept_for_a_while(self, process):
        assert RESOURCES[f"{process}Logs"]["Properties"]["RetentionInDays"]
        assert container(process)["LogConfiguration"]["Options"]["awslogs-group"] == {
            "Ref": f"{process}Logs"
        }

    def test_they_are_stopped_as_late_as_their_drain_needs(self):
        stops = {process: container(process)["StopTimeout"] for process in PROCESSES}
        assert stops == {"Poller": 90, "Worker": 120, "Beat": 30, "Flower": 30}

    def test_workers_say_what_longer_jobs_need(self):
        assert "on_lost" in RESOURCES["WorkerService"]["Metadata"]["LongJobs"]

    def test_only_pollers_and_beat_have_credentials(self):
        roles = {
            process: RESOURCES[f"{process}Task"]["Properties"]["TaskRoleArn"]["Fn::ImportValue"][
                "Fn::Sub"
            ].removeprefix("${ActivitiesStack}-")
            for process in PROCESSES
        }
        assert roles == {
            "Poller": "PollerRoleArn",
            "Beat": "BeatRoleArn",
            "Worker": "WorkerRoleArn",
            "Flower": "WorkerRoleArn",
        }

    def test_commands_are_those_of_the_readme(self):
        def command(process):
            return " ".join(str(part) for part in container(process)["Command"])

        assert command("Poller") == "celery -A bridge poll"
        assert command("Worker").startswith("celery -A bridge worker --concurrency")
        assert command("Beat").startswith(
            "celery -A bridge worker -B -Q bridge.system --pool threads"
        )
        assert "--schedule /tmp/" in command("Beat")  # the rest cannot be written to
        assert command("Flower").startswith("celery -A bridge flower")


class TestServices:
    @pytest.mark.parametrize("process", PROCESSES)
    def test_a_bad_deployment_rolls_back(self, process):
        how = RESOURCES[f"{process}Service"]["Properties"]["DeploymentConfiguration"]
        assert how["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}

    def test_one_beat_is_enough(self):
        assert RESOURCES["BeatService"]["Properties"]["DesiredCount"] == 1

    def test_all_but_flower_stay_at_full_strength(self):
        """A second beat does no harm: heartbeats need not wait for pollers to stand in."""
        for process in ("Poller", "Worker", "Beat"):
            how = RESOURCES[f"{process}Service"]["Properties"]["DeploymentConfiguration"]
            assert how["MinimumHealthyPercent"] == 100

    def test_autoscaling_alone_says_how_many_workers_run(self):
        assert "DesiredCount" not in RESOURCES["WorkerService"]["Properties"]

    def test_workers_follow_the_backlog(self):
        policy = RESOURCES["WorkerScaling"]["Properties"]
        tracked = policy["TargetTrackingScalingPolicyConfiguration"]
        metric = tracked["CustomizedMetricSpecification"]
        assert policy["PolicyType"] == "TargetTrackingScaling"
        assert (metric["Namespace"], metric["MetricName"]) == (
            "StepFunctions/Activities",
            "BacklogPerSlot",
        )

    def test_its_metric_can_have_dimensions(self):
        made = ecs(Fleet.of(["a"], dimensions={"App": "shop"}))["Resources"]["WorkerScaling"]
        tracked = made["Properties"]["TargetTrackingScalingPolicyConfiguration"]
        assert tracked["CustomizedMetricSpecification"]["Dimensions"] == [
            {"Name": "App", "Value": "shop"}
        ]

    def test_workers_are_as_many_for_many_activities(self):
        """An idle activity takes no slot."""
        many = ecs(Fleet.of([f"a{number}" for number in range(40)]))["Parameters"]
        for made in (many, MADE["Parameters"]):
            assert (made["WorkerMin"]["Default"], made["WorkerMax"]["Default"]) == (2, 20)

    def test_the_target_can_be_reached(self):
        """The figure is bounded: a target above it would never scale out."""
        target = MADE["Parameters"]["BacklogPerSlotTarget"]
        assert target["Default"] < 1 < target["MaxValue"] < MOST

    def test_flower_is_optional_and_asks_for_a_password(self):
        for kind in ("Service", "Task", "Logs"):
            assert RESOURCES[f"Flower{kind}"]["Condition"] == "WithFlower"
        assert MADE["Parameters"]["Flower"]["Default"] == "no"
        assert "FLOWER_BASIC_AUTH" in {each["Name"] for each in container("Flower")["Secrets"]}


class TestImage:
    def test_its_repository_is_the_only_one_that_can_be_pulled(self):
        assert MADE["Parameters"]["RepositoryArn"]["Default"] == (
            "arn:aws:ecr:eu-west-1:123456789012:repository/team/worker"
        )

    @pytest.mark.parametrize(
        ("region", "host", "partition"),
        [
            ("cn-north-1", "amazonaws.com.cn", "aws-cn"),
            ("us-iso-east-1", "c2s.ic.gov", "aws-iso"),
            ("eusc-de-east-1", "amazonaws.eu", "aws-eusc"),
        ],
    )
    def test_in_another_partition(self, region, host, partition):
        image = f"123456789012.dkr.ecr.{region}.{host}/team/worker:1.0"
        parameters = ecs(Fleet.of(["a"], image=image))["Parameters"]
        assert parameters["RepositoryArn"]["Default"] == (
            f"arn:{partition}:ecr:{region}:123456789012:repository/team/worker"
        )

    def test_without_one_it_is_asked_for(self):
        parameters = ecs(Fleet.of(["a"]))["Parameters"]
        assert "Default" not in parameters["Image"]
        assert "Default" not in parameters["RepositoryArn"]

    def test_a_registry_that_cannot_be_reached_is_refused(self):
        with pytest.raises(SettingsError, match="not in ECR"):
            ecs(Fleet.of(["a"], image="docker.io/library/python:3.13"))
