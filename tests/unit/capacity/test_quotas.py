"""AWS's quotas by region."""

from __future__ import annotations

from bridge.capacity import quotas


class TestQuotas:
    def test_three_regions_have_higher_quotas(self):
        for region in ("us-east-1", "us-west-2", "eu-west-1"):
            assert quotas.buckets(region)["SendTaskHeartbeat"] == quotas.Bucket(3_000, 500)
        assert quotas.buckets("eu-central-1")["SendTaskHeartbeat"] == quotas.Bucket(1_500, 300)
        assert quotas.buckets("eu-central-1").keys() == quotas.buckets("us-east-1").keys()
