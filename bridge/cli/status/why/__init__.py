"""``status --why ACTIVITY``: explain why the bridge claims no more tasks of an activity.

``facts`` gathers what is known of the activity. ``situation`` describes it in sentences.
``reasons`` has each reason, its sentences and its remedy. ``wording`` puts
numbers into words. ``answer`` puts these together and prints them.
"""
