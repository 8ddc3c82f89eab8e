"""Functional keras.Model builders; `keras` API only, so any Keras backend runs them."""
