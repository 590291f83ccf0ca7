# SPDX-License-Identifier: Apache-2.0
"""Bad goals, floods of goals, and no goal: faults 25 to 28 of the suite's list."""

from __future__ import annotations

import os
from pathlib import Path
import time

import cv2
import numpy as np
import psutil
import pytest
from rclpy.action import ActionClient
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from vjepa_msgs.action import PursueGoal
from vjepa_msgs.msg import Goal, Status
from vjepa_msgs.srv import SetGoalImage
from vjepa_ros import conversions, qos
from vjepa_ros.encoder_node import EncoderNode
from vjepa_ros.goal_node import GoalNode, THREADS
