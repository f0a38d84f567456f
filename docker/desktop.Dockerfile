# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
#
# NOT BUILT BY US: linted only. Please report what you had to change.
#
# A desktop or server with an NVIDIA GPU: Ubuntu 24.04, CUDA 13, TensorRT, ROS 2 Jazzy.
#   docker build -f docker/desktop.Dockerfile -t mast3r_ros:desktop .
#   docker run --rm --gpus all --network host -v ~/maps:/maps mast3r_ros:desktop
# Needs the NVIDIA Container Toolkit and a driver of series 580 or later on the host.

FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 ROS_DISTRO=jazzy

# Versions of Debian packages are those of the distribution on the day of the build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && curl -fsSL https://raw.githubusercontent.com/ros/rosdistro/master/ros.key \
        -o /usr/share/keyrings/ros-archive-keyring.gpg \
    && echo "deb [signed-by=/usr/share/keyrings/ros-archive-keyring.gpg] http://packages.ros.org/ros2/ubuntu noble main" \
        > /etc/apt/sources.list.d/ros2.list \
    && apt-get update \
    && apt-get install -y --no-install-recommends \
        g++ make cmake \
        python3-colcon-common-extensions python3-dev python3-rosdep python3-venv \
        ros-jazzy-ros-base ros-jazzy-rmw-fastrtps-cpp \
        libegl1 libgl1 \
    && rm -rf /var/lib/apt/lists/*

# What package.xml names. RViz stays outside: it runs on another machine.
WORKDIR /ws/src/mast3r_ros
COPY package.xml ./
RUN apt-get update && rosdep init && rosdep update --rosdistro jazzy \
    && rosdep install --from-paths . --ignore-src -y --rosdistro jazzy --skip-keys rviz2 \
    && rm -rf /var/lib/apt/lists/*

# What pip has alone. The system's numpy and OpenCV stay: ROS is built against them.
COPY requirements ./requirements
RUN python3 -m venv --system-site-packages /opt/venv \
    && printf 'numpy==%s\n' "$(python3 -c 'import numpy; print(numpy.__version__)')" \
        > /tmp/constraints.txt \
    && grep -hviE '^(numpy|opencv-python-headless|scipy|pyyaml)' \
        requirements/core.txt requirements/mast3r.txt requirements/cuda.txt \
        requirements/tensorrt.txt > /tmp/requirements.txt \
    && /opt/venv/bin/pip install --no-cache-dir -c /tmp/constraints.txt -r /tmp/requirements.txt \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps -r requirements/xfeat.txt
ENV PATH=/opt/venv/bin:$PATH

COPY . .
WORKDIR /ws
RUN . /opt/ros/jazzy/setup.bash \
    && colcon build --packages-select mast3r_ros \
        --cmake-args -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
            -DPython3_EXECUTABLE=/opt/venv/bin/python3 \
    && useradd --create-home --uid 1001 robot \
    && install -d -o robot -g robot /maps /cache

# Engines are built for one GPU at the first run, and kept here.
ENV XDG_CACHE_HOME=/cache
VOLUME ["/maps", "/cache"]
USER 1001
COPY --chmod=755 docker/entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "mast3r_ros", "relocalize.launch.py"]
