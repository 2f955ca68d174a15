"""Every decision RelayMD makes, as pure functions and values.

Nothing here awaits, logs, draws lots, reads a clock or touches a file: time and chance are
arguments. That is what lets a simulator run the whole control plane a million times a day.
"""
