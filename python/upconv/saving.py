# SPDX-License-Identifier: Apache-2.0
"""Registering functions and classes for saving, and the two functions that save and load, as in ``keras.saving``."""
from ._serialize import custom_object_scope, get_registered_object, register_keras_serializable
from .models import load_model, save_model

__all__ = ["custom_object_scope", "register_keras_serializable", "get_registered_object", "load_model", "save_model"]
