# SPDX-License-Identifier: Apache-2.0
"""Recorded episodes: how they lie on disk, and how the simulator makes them."""
