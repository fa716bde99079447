"""The activities of an app: three ways to give them to tasks, and their checks."""

from __future__ import annotations

import pytest
from celery import Celery, Task

from bridge import registry
from bridge.errors import SettingsError
from bridge.registry import bind, build
from bridge.settings import Settings

# Celery 5.7 would rather have task_routes than the option; users have it, so it must work.
pytestmark = pytest.mark.filterwarnings(r"ignore:\s*The 'queue' task attribute")


@pytest.fixture
def app(monkeypatch):
    # Shared tasks of other tests' modules are none of this app.
    monkeypatch.setattr("celery._state._on_app_finalizers", set())
    app = Celery("test", set_as_current=False)
    yield app
    app.close()


@pytest.fixture(autouse=True)
def _no_bindings(monkeypatch):
    monkeypatch.setattr(registry, "_bindings", {})


def task(app, name="work", **options):
    @app.task(name=name, shared=False, **options)
    def work(event):
        return event

    return work


def built(app, **values):
    app.finalize()
    return build(app, Settings(**values))


def test_an_option_makes_a_task_an_activity(app):
    task(app, activity="resize", heartbeat=7, on_lost="retry", max_attempts=5, queue="images")
    activity = built(app)["resize"]
    assert (activity.heartbeat_s, activity.manual) == (7.0, False)
    assert (activity.on_lost, activity.max_attempts, activity.queue) == ("retry", 5, "images")


def test_options_have_defaults(app):
    task(app, activity="resize")
    activity = built(app, heartbeat_s=11, max_attempts=2)["resize"]
    assert (activity.heartbeat_s, activity.on_lost, activity.max_attempts) == (11, "fail", 2)
    assert (activity.queue, activity.terminate_on_cancel) == ("celery", False)


def test_a_job_belongs_to_the_activity_in_its_message(app):
    """A task may serve several activities; messages of older versions name none of them."""
    task(app, activity="resize")
    task(app, name="other", activity="zip")
    bind("crop", "work", terminate_on_cancel=True)
    activities, work = built(app), app.tasks["work"]
    assert activities.of_job("crop", work).terminate_on_cancel
    assert not activities.of_job("resize", work).terminate_on_cancel
    assert activities.of_job("zip", work).name == "crop"
    assert activities.of_job(None, work).name == "crop"
    assert activities.of_job(["crop"], work).name == "crop"
    assert activities.of_job("gone", None) is None


def test_a_task_without_the_option_is_not_an_activity(app):
    task(app)
    assert len(built(app)) == 0


def test_a_full_arn_is_an_activity(app):
    arn = "arn:aws:states:eu-west-1:123456789012:activity:resize"
    task(app, activity=arn)
    assert list(built(app)) == [arn]


def test_a_task_that_cannot_be_edited_is_bound_by_setting(app):
    task(app, "theirs.work")
    assert built(app, activities={"resize": "theirs.work"})["resize"].task.name == "theirs.work"


def test_a_task_that_cannot_be_edited_is_bound_in_code(app):
    bind("resize", task(app), heartbeat=5, on_lost="retry")
    bind("shrink", "work")
    activities = built(app)
    assert activities["resize"].heartbeat_s == 5
    assert activities["shrink"].task.name == "work"


def test_celerys_routes_choose_the_queue(app):
    app.conf.task_routes = {"work": {"queue": "routed"}}
    task(app, activity="resize")
    assert built(app).queues == ["routed"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"activity": "bad name!"}, "bad name!"),
        ({"activity": "a", "heartbeat": 0}, "heartbeat=0"),
        ({"activity": "a", "heartbeat": True}, "heartbeat=True"),
        ({"activity": "a", "heartbeat": "often"}, "heartbeat='often'"),
        ({"activity": "a", "heartbeat": 0.5}, "below BRIDGE_TICK_S=1"),
        ({"activity": "a", "on_lost": "ignore"}, "on_lost='ignore'"),
        ({"activity": "a", "max_attempts": 0}, "max_attempts=0"),
        ({"activity": "a", "queue": "bridge.system"}, "which belongs to the bridge"),
    ],
)
def test_an_impossible_option_is_refused(app, options, says):
    task(app, **options)
    with pytest.raises(SettingsError, match=says):
        built(app)


def test_two_tasks_for_one_activity_are_refused(app):
    task(app, "one", activity="resize")
    task(app, "two", activity="resize")
    with pytest.raises(SettingsError, match=r"has two tasks, one and two"):
        built(app)


def test_a_setting_and_an_option_for_one_activity_are_refused(app):
    task(app, "one", activity="resize")
    task(app, "two")
    with pytest.raises(SettingsError, match=r"has two tasks"):
        built(app, activities={"resize": "two"})


def test_a_binding_to_a_missing_task_is_refused(app):
    with pytest.raises(SettingsError, match=r"BRIDGE_ACTIVITIES gives .* task 'nowhere'"):
        built(app, activities={"resize": "nowhere"})


def test_binding_twice_is_refused():
    bind("resize", "one")
    with pytest.raises(SettingsError, match="bound twice"):
        bind("resize", "two")


def test_an_unknown_option_of_bind_is_refused():
    with pytest.raises(SettingsError, match="no such option heart_beat"):
        bind("resize", "one", heart_beat=3)


def test_a_task_that_does_not_take_one_argument_is_refused(app):
    @app.task(name="pair", shared=False, activity="pair")
    def pair(left, right):
        return left, right

    with pytest.raises(SettingsError, match="cannot be called with one argument"):
        built(app)


def test_a_bound_task_takes_one_argument_beside_itself(app):
    @app.task(name="own", shared=False, bind=True, activity="own")
    def own(self, event):
        return self, event

    assert "own" in built(app)


@pytest.mark.parametrize("options", [{}, {"autoretry_for": (OSError,)}], ids=repr)
def test_a_task_that_is_written_as_a_class_is_checked_by_its_run(app, options):
    """Celery makes no ``__header__`` for such a task."""

    class One(Task):
        name, activity = "one", "one"

        def run(self, event):
            return event

    class Two(One):
        name, activity = "two", "two"

        def run(self, left, right):
            return left, right

    app.register_task(One(), **options)
    assert "one" in built(app)
    app.register_task(Two(), **options)
    with pytest.raises(SettingsError, match=r"two\): it cannot be called with one argument"):
        build(app, Settings())
