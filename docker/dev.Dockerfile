# SPDX-License-Identifier: Apache-2.0
# Tests, linters and training on CPUs; the repository is mounted, the environment stays in a volume.
#   docker compose --file docker/compose.dev.yaml run --rm dev make test
FROM python:3.11-bookworm

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git libegl1 libgl1 make \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 vjepa
USER 1000
WORKDIR /home/vjepa/vjepa_ros
ENV ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
CMD ["bash"]
