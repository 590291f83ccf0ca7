# SPDX-License-Identifier: Apache-2.0
"""Training of small world models on episodes; nothing here is needed to plan."""
