"""``status --why ACTIVITY``: explain why the bridge claims nothing more of an activity.

``facts`` gathers what is known of the activity. ``situation`` describes it in sentences.
``reasons`` has each reason, its sentences and its remedy. ``answer`` puts these together and prints
them.
"""
