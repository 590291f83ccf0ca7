# SPDX-License-Identifier: Apache-2.0
# The demonstration and the simulator on CPUs, without a ROS installation and without torch.
#   docker build --file docker/demo.Dockerfile --tag vjepa-demo .
FROM python:3.11-slim-bookworm

# Messages are compiled; versions are those of the base image's release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 vjepa
USER 1000
WORKDIR /home/vjepa/vjepa_ros
COPY --chown=1000:1000 . .
RUN TORCH=none make setup

ENV PATH=/home/vjepa/vjepa_ros/.venv/bin:$PATH \
    AMENT_PREFIX_PATH=/home/vjepa/vjepa_ros/.venv \
    ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
CMD ["vjepa", "demo", "--backend", "onnxruntime"]
