"""API key to caller. A blueprint that asks for a key here asks on every route it has or will have."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, g, request

from api.runtime import current_runtime
from erni.errors import NotAuthenticated
from erni.keys import ApiKey, hash_token, is_same_token

_HOW = "Send your API key in the header: Authorization: Bearer <key>."


def require_key(blueprint: Blueprint) -> None:
    """Let no request reach a route of ``blueprint`` without a valid key."""
    blueprint.before_request(_authenticate)


def current_caller() -> ApiKey:
    """The key the present request came with."""
    return cast("ApiKey", g.caller)


def _authenticate() -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated(f"An API key is needed. {_HOW}")
    key = current_runtime().services.keys.find_key(hash_token(token))
    if key is None or not is_same_token(token, key):
        raise NotAuthenticated(f"This API key is unknown or was revoked. {_HOW}")
    g.caller = key
