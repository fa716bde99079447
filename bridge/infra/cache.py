"""The Redis of ``ecs``: the broker and the claim store."""

from __future__ import annotations

from bridge.infra import network
from bridge.infra.cfn import Json, att, parameter, ref, sub, tags
from bridge.infra.fleet import Fleet

DURABILITY = (
    "ElastiCache has no append-only file (AOF) together with Multi-AZ. Replication is "
    "asynchronous: a failover may lose the last moments of writes. The heartbeats of a lost claim "
    "stop, so its state times out after HeartbeatSeconds, and its Retry runs it again. If that is "
    "not enough, use MemoryDB, which keeps a durable log: BRIDGE_STORE_URL=rediss+cluster://…"
)


def parameters() -> Json:
    """The parameters for the size of the nodes and for backups."""
    return {
        "RedisNodeType": parameter("Node type of the primary and its replica", "cache.t4g.medium"),
        "RedisBackupDays": parameter(
            "How many days daily snapshots are kept", 7, MinValue=0, MaxValue=35
        ),
    }


def resources(fleet: Fleet) -> Json:
    """An encrypted replication group in two zones, and the secrets that only tasks can read."""
    return {
        "RedisSubnets": {
            "Type": "AWS::ElastiCache::SubnetGroup",
            "Properties": {
                "Description": f"Private subnets of {fleet.name}",
                "SubnetIds": network.subnet_ids(fleet),
            },
        },
        "RedisParameters": {
            "Type": "AWS::ElastiCache::ParameterGroup",
            "Properties": {
                "CacheParameterGroupFamily": "redis7",
                "Description": f"{fleet.name}: never evict a claim or a message",
                "Properties": {"maxmemory-policy": "noeviction"},
            },
        },
        "RedisToken": _secret(
            fleet,
            "AUTH token of Redis",
            GenerateSecretString={"PasswordLength": 64, "ExcludePunctuation": True},
        ),
        "Redis": _replication_group(fleet),
        # The URL contains the token, so the whole URL is a secret, which tasks get by its ARN.
        "BrokerUrl": _secret(
            fleet,
            "CELERY_BROKER_URL",
            SecretString=sub(
                "rediss://:{{resolve:secretsmanager:${RedisToken}}}@"
                f"${{Redis.PrimaryEndPoint.Address}}:{network.REDIS_PORT}/0?ssl_cert_reqs=required"
            ),
        ),
    }


def _replication_group(fleet: Fleet) -> Json:
    return {
        "Type": "AWS::ElastiCache::ReplicationGroup",
        "DeletionPolicy": "Snapshot",
        "UpdateReplacePolicy": "Snapshot",
        "Metadata": {"Durability": DURABILITY},
        "Properties": {
            "ReplicationGroupDescription": f"Broker and claims of {fleet.name}",
            "Engine": "redis",
            "EngineVersion": "7.1",
            "CacheNodeType": ref("RedisNodeType"),
            "NumNodeGroups": 1,
            "ReplicasPerNodeGroup": 1,
            "MultiAZEnabled": True,
            "AutomaticFailoverEnabled": True,
            "TransitEncryptionEnabled": True,
            "AtRestEncryptionEnabled": True,
            "AuthToken": sub("{{resolve:secretsmanager:${RedisToken}}}"),
            "CacheParameterGroupName": ref("RedisParameters"),
            "CacheSubnetGroupName": ref("RedisSubnets"),
            "SecurityGroupIds": [att("RedisGroup", "GroupId")],
            "SnapshotRetentionLimit": ref("RedisBackupDays"),
            "AutoMinorVersionUpgrade": True,
            "Tags": tags(fleet.all_tags),
        },
    }


def _secret(fleet: Fleet, description: str, **properties: Json) -> Json:
    return {
        "Type": "AWS::SecretsManager::Secret",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "Description": f"{fleet.name}: {description}",
            **properties,
            "Tags": tags(fleet.all_tags),
        },
    }


def flower_secrets(fleet: Fleet) -> Json:
    """The password of Flower, which shows every job and can terminate it."""
    made = {
        "FlowerPassword": _secret(
            fleet,
            "password of Flower's user flower",
            GenerateSecretString={"PasswordLength": 32, "ExcludePunctuation": True},
        ),
        "FlowerAuth": _secret(
            fleet,
            "FLOWER_BASIC_AUTH",
            SecretString=sub("flower:{{resolve:secretsmanager:${FlowerPassword}}}"),
        ),
    }
    return {name: {"Condition": "WithFlower"} | resource for name, resource in made.items()}
