"""What the command line does with a user's own file.

target.py    which file, and which names of it          running.py  the file is run as Python would run it
choosing.py  what in the file can be drawn, by name     work.py     draw, view, source and explain
"""
