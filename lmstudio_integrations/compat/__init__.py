"""What users of other integrations bring along: their names for settings, and keywords that mean nothing here.

No framework is imported. Both adapters use it in their constructors and per call.
"""
