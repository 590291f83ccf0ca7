# SPDX-License-Identifier: Apache-2.0
"""The networks of V-JEPA 2, as torch modules."""
