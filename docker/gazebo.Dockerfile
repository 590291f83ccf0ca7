# SPDX-License-Identifier: Apache-2.0
# ROS 2 Jazzy with Gazebo Harmonic, its bridge and controllers, and the nodes on CPUs, without torch.
#   docker build --file docker/gazebo.Dockerfile --tag vjepa-gazebo .
FROM ros:jazzy-ros-base

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        git libegl-mesa0 libgl1-mesa-dri \
        python3-matplotlib python3-numpy python3-opencv python3-pip python3-tqdm python3-venv \
        ros-jazzy-control-msgs ros-jazzy-controller-manager ros-jazzy-diagnostic-msgs \
        ros-jazzy-gz-ros2-control ros-jazzy-robot-state-publisher ros-jazzy-ros-gz \
        ros-jazzy-ros2-controllers ros-jazzy-xacro \
    && rm -rf /var/lib/apt/lists/*

# As in robot.Dockerfile: what rosdep has no key for, beside the system's numpy and OpenCV.
COPY requirements /tmp/requirements
RUN grep --invert-match --extended-regexp '^(numpy|opencv)' /tmp/requirements/runtime.txt \
        > /tmp/requirements/rest.txt \
    && python3 -m venv --system-site-packages /opt/vjepa \
    && /opt/vjepa/bin/pip install --no-cache-dir 'numpy<2' \
        --requirement /tmp/requirements/rest.txt
ENV PYTHONPATH=/opt/vjepa/lib/python3.12/site-packages

WORKDIR /ws
# The release that franka_ros2 v3.4.0 names.
RUN git clone --depth 1 --branch 2.8.0 \
        https://github.com/frankarobotics/franka_description src/franka_description
COPY . src/vjepa_ros
RUN . /opt/ros/jazzy/setup.sh \
    && colcon build --base-paths src src/vjepa_ros/vjepa_msgs

COPY docker/entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "vjepa_ros", "gazebo.launch.py", "gui:=false", "backend:=onnxruntime"]
