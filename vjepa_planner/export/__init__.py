# SPDX-License-Identifier: Apache-2.0
"""Networks to graphs, for engines that execute those, and proof that they compute the same."""
