"""Hostile, damaged and unlucky inputs, made from sound ones, and what lostbits does with them.

=============== ============================================================================
tree            files in memory: laid out in a folder, and looked at afterwards
hostile         names and numbers that break things
edit_*          one kind of file each: a sound one becomes one that is not, by a seed
networks        small models of many kinds
corpus          all sound inputs, made by lostbits itself where it has a writer
tries           which command is run on which broken input, class by class
playground      the folder that one try happens in
server          a warm process that forks one child a try, and bounds it
oracle          what a run must and must not have done
counts          the table
=============== ============================================================================
"""
