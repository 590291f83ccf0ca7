# SPDX-License-Identifier: Apache-2.0
"""Facts about robots: kinematics, masses, limits and frame names, one file per robot."""
