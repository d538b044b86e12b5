"""The doctor's exam: training scripts drawn at random, sick and healthy, and marks for what the doctor says of them.

Every script is one plain file, as an author would write it. No word in it tells what is wrong.
"""
