"""Decisions, one file per kind: a policy is a frozen description and one plain function beside it.

Registering the class makes its name valid in models, gives it a code, a row in the docs and a
place in both engines and in the conformance tests. Functions take tables whose rows are addressed
as ``table[i].field`` and never import numba.
"""
