"""Write an e-mail that is ready to be sent into a folder; nothing is sent."""

import hashlib
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from celery import shared_task
from pydantic import BaseModel

from tasks.files import write_whole

SENDER = "Orders <orders@example.com>"


class Mail(BaseModel):
    """Input of ``announce``."""

    execution: str
    output_dir: str
    to: str
    subject: str
    text: str
    attachment: str | None = None


class Written(BaseModel):
    """Output of ``announce``."""

    message: str
    message_id: str


# pydantic=True is Celery's: it checks the input and makes a Mail of it, and a dict of Written.
# on_lost stays "fail", because a lost worker may already have sent the message. The state machine's
# Retry decides to run the task again, and the second message has the same Message-ID.
@shared_task(activity="email-sending-activity", heartbeat=5, pydantic=True)
def announce(mail: Mail) -> Written:
    """Write the message as ``announcement.eml``, which e-mail programs can open."""
    message = EmailMessage(policy=SMTP)
    message["From"] = SENDER
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = f"<{_digest(mail.execution)}@example.com>"
    message.set_content(f"{mail.text}\n\nExecution: {mail.execution}\n")
    if mail.attachment is not None:
        chart = Path(mail.attachment)
        message.add_attachment(
            chart.read_bytes(), maintype="image", subtype="png", filename=chart.name
        )
    path = Path(mail.output_dir) / "announcement.eml"
    write_whole(path, message.as_bytes())
    return Written(message=str(path), message_id=message["Message-ID"])


def _digest(execution: str) -> str:
    return hashlib.sha256(execution.encode()).hexdigest()[:16]
