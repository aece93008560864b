"""Item model API."""

from peer.web.api.item.views import router

__all__ = ["router"]
