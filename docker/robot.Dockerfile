# SPDX-License-Identifier: Apache-2.0
# ROS 2 Jazzy with torch for CUDA and TensorRT, beside a real arm or another simulator.
#   docker build --file docker/robot.Dockerfile --tag vjepa-robot .
# torch and TensorRT bring CUDA's libraries; the host needs the driver and its container toolkit.
FROM ros:jazzy-ros-base

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        python3-matplotlib python3-numpy python3-opencv python3-pip python3-tqdm python3-venv \
        ros-jazzy-control-msgs ros-jazzy-diagnostic-msgs \
    && rm -rf /var/lib/apt/lists/*

# What rosdep has no key for, in an environment of its own that the system's Python sees. ROS 2's
# messages are compiled against the system's numpy 1.26, which has to stay, and its OpenCV with it.
COPY requirements /tmp/requirements
RUN grep --invert-match --extended-regexp '^(numpy|opencv)' /tmp/requirements/runtime.txt \
        > /tmp/requirements/rest.txt \
    && python3 -m venv --system-site-packages /opt/vjepa \
    && /opt/vjepa/bin/pip install --no-cache-dir 'numpy<2' \
        --requirement /tmp/requirements/rest.txt \
        --requirement /tmp/requirements/torch.txt \
        --requirement /tmp/requirements/export.txt \
        --requirement /tmp/requirements/nvidia.txt
ENV PYTHONPATH=/opt/vjepa/lib/python3.12/site-packages

WORKDIR /ws
COPY . src/vjepa_ros
RUN . /opt/ros/jazzy/setup.sh \
    && colcon build --base-paths src src/vjepa_ros/vjepa_msgs

COPY docker/entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "vjepa_ros", "franka.launch.py"]
