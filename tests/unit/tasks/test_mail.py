"""The message is complete, and has the same Message-ID when it is written twice."""

import email
import email.policy
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.mail import announce

PICTURE = b"\x89PNG\r\n\x1a\nrest"


@pytest.fixture
def mail(tmp_path):
    chart = tmp_path / "revenue.png"
    chart.write_bytes(PICTURE)
    return {
        "execution": "arn:aws:states:us-east-1:123456789012:execution:report:one",
        "output_dir": str(tmp_path / "out"),
        "to": "sales@example.com",
        "subject": "Umsatz im März",
        "text": "628,486 € from 2,000 orders",
        "attachment": str(chart),
    }


def parse(written):
    content = Path(written["message"]).read_bytes()
    return email.message_from_bytes(content, policy=email.policy.default)


def test_message_has_text_and_chart(mail):
    message = parse(announce(mail))

    assert message["To"] == "sales@example.com"
    assert message["Subject"] == "Umsatz im März"
    assert message["Date"].datetime.tzinfo is not None
    assert "628,486 € from 2,000 orders" in message.get_body().get_content()
    assert mail["execution"] in message.get_body().get_content()
    (chart,) = message.iter_attachments()
    assert chart.get_filename() == "revenue.png"
    assert chart.get_content_type() == "image/png"
    assert chart.get_content() == PICTURE


def test_refusal_needs_no_attachment(mail):
    del mail["attachment"]

    assert not list(parse(announce(mail)).iter_attachments())


def test_second_message_replaces_the_first_under_the_same_id(mail):
    first = announce(mail)

    assert announce(mail) == first
    assert parse(first)["Message-ID"] == first["message_id"]
    assert [path.name for path in Path(mail["output_dir"]).iterdir()] == ["announcement.eml"]


def test_each_execution_has_its_own_message_id(mail):
    first = announce(mail)

    assert announce({**mail, "execution": "another"})["message_id"] != first["message_id"]


def test_incomplete_input_is_refused(mail):
    del mail["to"]

    with pytest.raises(ValidationError, match="to\n  Field required"):
        announce(mail)


def test_a_subject_cannot_add_a_header(mail):
    mail["subject"] = "Report\nBcc: everyone@example.com"

    with pytest.raises(ValueError, match="linefeed"):
        announce(mail)
