import os
import sys

sys.path.insert(0, os.path.dirname(__file__))  # for preference_cases.py and families_in_small.py
