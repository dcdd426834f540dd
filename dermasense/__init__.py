"""DermaSense: train, judge and resume skin-lesion classifiers.

Research software, not a medical device.
"""

__version__ = "0.1.0"
