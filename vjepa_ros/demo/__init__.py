# SPDX-License-Identifier: Apache-2.0
"""The demonstration: real nodes as processes, two goals set through the ROS service, a report.

It only uses what any user of the nodes can use: parameters, topics and services. The poses behind
the goal images are known here, to judge the outcome, and never reach the nodes.
"""
