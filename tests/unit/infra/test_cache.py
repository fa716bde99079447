"""The Redis of ``ecs``."""

from tests.unit.infra.ecs_template import (
    MADE,
    RESOURCES,
)


class TestRedis:
    REDIS = RESOURCES["Redis"]["Properties"]

    def test_redis_survives_the_loss_of_a_zone(self):
        assert self.REDIS["MultiAZEnabled"]
        assert self.REDIS["AutomaticFailoverEnabled"]
        assert self.REDIS["ReplicasPerNodeGroup"] >= 1

    def test_redis_is_encrypted_and_has_a_password(self):
        assert self.REDIS["TransitEncryptionEnabled"]
        assert self.REDIS["AtRestEncryptionEnabled"]
        assert "resolve:secretsmanager:${RedisToken}" in self.REDIS["AuthToken"]["Fn::Sub"]

    def test_the_password_fits_into_a_url_and_elasticache(self):
        token = RESOURCES["RedisToken"]["Properties"]["GenerateSecretString"]
        assert token["ExcludePunctuation"]
        assert 16 <= token["PasswordLength"] <= 128

    def test_redis_evicts_nothing(self):
        group = RESOURCES["RedisParameters"]["Properties"]["Properties"]
        assert group == {"maxmemory-policy": "noeviction"}

    def test_metadata_says_that_there_is_no_append_only_file(self):
        assert "AOF" in RESOURCES["Redis"]["Metadata"]["Durability"]
        assert "AOF" in MADE["Metadata"]["Redis"]["Durability"]

    def test_the_url_makes_kombu_and_redis_py_verify_the_certificate(self):
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
