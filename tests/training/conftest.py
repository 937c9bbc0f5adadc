import os
import sys

sys.path.insert(0, os.path.dirname(__file__))  # for standin.py, which child processes import too
