"""What both adapters do before they call the client: they translate names, read tool choices and build requests.

No framework is imported.
"""
