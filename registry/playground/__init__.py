"""`atrous serve`: a local web page, and a REST interface, to try models on images and to compare them.

FastAPI and uvicorn are the extra `serve`, and imported when the server is made.
"""

from registry.playground.settings import Settings
from registry.playground.starting import make_app, serve

__all__ = ["Settings", "make_app", "serve"]
